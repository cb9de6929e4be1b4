// Lines over a common x, drawn by uPlot (vendor/), in the page's own colours.

const COLOURS = ['--green', '--train', '--blue', '--amber', '--red', '--soft'];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const drawn = [];

/**
 * A chart in `place`. `lines`: [{label, colour?, dash?}]; `format` writes a value; `mark` is where a vertical line stands, or null.
 * Answers a function that takes the data, [xs, ys of the first line, …]; null is a gap.
 */
export function chart(place, { x, lines, format, range, mark = () => null, height = 260 }) {
  const ink = () => colour('--soft');
  const grid = { stroke: () => colour('--line'), width: 1 };
  const axis = { stroke: ink, grid, ticks: grid, font: '12px system-ui' };
  const options = {
    width: Math.max(place.clientWidth, 200),
    height,
    scales: { x: { time: false }, y: range ? { range } : {} },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map((tick) => (x.whole && tick % 1 ? '' : x.format ? x.format(tick) : tick)) },
      { ...axis, size: 62, values: (_, ticks) => ticks.map(format) },
    ],
    series: [
      { label: x.label, value: (_, value) => (value === null ? '–' : x.format ? x.format(value) : value) },
      ...lines.map((line, number) => ({
        label: line.label,
        stroke: () => colour(line.colour ?? COLOURS[number % COLOURS.length]),
        width: 2,
        dash: line.dash,
        points: { size: 5 },
        value: (_, value) => (value === null || value === undefined ? '–' : format(value)),
      })),
    ],
    hooks: { draw: [(u) => line(u, mark())] },
  };
  const plot = new uPlot(options, [[], ...lines.map(() => [])], place);
  new ResizeObserver(() => plot.setSize({ width: Math.max(place.clientWidth, 200), height })).observe(place);
  drawn.push(plot);
  return (data) => plot.setData(data);
}

/** A dashed line upwards at `x`. */
function line(u, x) {
  if (x === null) return;
  const at = u.valToPos(x, 'x', true);
  u.ctx.save();
  u.ctx.strokeStyle = colour('--soft');
  u.ctx.setLineDash([4, 4]);
  u.ctx.beginPath();
  u.ctx.moveTo(at, u.bbox.top);
  u.ctx.lineTo(at, u.bbox.top + u.bbox.height);
  u.ctx.stroke();
  u.ctx.restore();
}

// The colours are read anew when the system turns dark or light.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => drawn.forEach((plot) => plot.redraw()));
