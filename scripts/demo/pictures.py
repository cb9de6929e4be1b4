"""Where the demo's pictures come from: a folder or archive of yours, Oxford's 17 flowers, or Debian's Fashion-MNIST.

Every source answers a dict {class: {file name: bytes reader}}, so that the rest of the demo doesn't care.
"""
import gzip
import shutil
import struct
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
FLOWERS_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/17/17flowers.tgz"
FLOWERS = (
    "daffodil snowdrop lilyvalley bluebell crocus iris tigerlily tulip fritillary sunflower daisy coltsfoot dandelion "
    "cowslip buttercup windflower pansy"
).split()
FLOWERS_EACH = 80
FASHION_PACKAGE = "dataset-fashion-mnist"
FASHION = "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle-boot".split()
FASHION_EACH = 100


def find(dataset, work):
    """The pictures and a sentence that says which they are. `dataset` is a path or None; `work` is for downloads."""
    if dataset:
        path = Path(dataset)
        if path.is_dir():
            return from_folder(path), f"the pictures in {path}"
        return from_archive(path), f"the pictures in {path}"
    try:
        return flowers(work), "Oxford's 17 flowers"
    except OSError as error:
        print(f"Oxford's 17 flowers can't be reached ({error}): taking Debian's package {FASHION_PACKAGE}.")
    return fashion(work), f"Fashion-MNIST from Debian's package {FASHION_PACKAGE}, {FASHION_EACH} pictures a class"


def by_class(entries):
    """Groups (path, reader) by the folder that holds the picture."""
    classes = {}
    for path, reader in sorted(entries, key=lambda entry: str(entry[0])):
        path = PurePosixPath(path)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
        if path.suffix.lower() in SUFFIXES and len(path.parts) > 1 and not hidden:
            classes.setdefault(path.parts[-2], {})[path.name] = reader
    if len(classes) < 2:
        sys.exit("the demo needs at least two folders of pictures, named after their classes")
    return classes


def from_folder(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return by_class((f"{folder.name}/{path.relative_to(folder).as_posix()}", path.read_bytes) for path in paths)


def from_archive(archive):
    if zipfile.is_zipfile(archive):
        source = zipfile.ZipFile(archive)
        names = [info.filename for info in source.infolist() if not info.is_dir()]
        return by_class((name, lambda name=name: source.read(name)) for name in names)
    if archive.exists() and tarfile.is_tarfile(archive):
        source = tarfile.open(archive)
        members = [member for member in source.getmembers() if member.isfile()]
        return by_class((member.name, lambda member=member: source.extractfile(member).read()) for member in members)
    sys.exit(f"DATASET={archive} is neither a folder nor a zip, tar or tar.gz file")


def flowers(work):
    """Oxford's flat archive: 80 pictures a class, in the order of FLOWERS."""
    print(f"downloading Oxford's 17 flowers (60 MB) from {FLOWERS_URL}")
    archive = work / "17flowers.tgz"
    with urllib.request.urlopen(FLOWERS_URL, timeout=15) as response, open(archive, "wb") as out:
        shutil.copyfileobj(response, out)
    classes = {name: {} for name in FLOWERS}
    source = tarfile.open(archive)
    for member in source.getmembers():
        name = PurePosixPath(member.name)
        if name.suffix == ".jpg" and name.stem.startswith("image_"):
            number = int(name.stem.removeprefix("image_")) - 1
            reader = lambda member=member: source.extractfile(member).read()
            classes[FLOWERS[number // FLOWERS_EACH]][name.name] = reader
    return classes


def fashion(work):
    """Fashion-MNIST's test half (10,000 pictures of 28 x 28), the first FASHION_EACH of each class, as PNG."""
    if shutil.which("apt-get") is None:
        sys.exit("neither Oxford's flowers nor Debian's packages can be reached here: give pictures of yours with DATASET=path")
    package = work / "package"
    package.mkdir()
    subprocess.run(["apt-get", "download", "-qq", FASHION_PACKAGE], cwd=package, check=False)
    found = list(package.glob("*.deb"))
    if not found:
        sys.exit(f"apt-get can't download {FASHION_PACKAGE} (try `apt-get update` as root): or give pictures with DATASET=path")
    subprocess.run(["dpkg-deb", "-x", str(found[0]), str(package)], check=True)
    read = lambda pattern: gzip.decompress(next(package.rglob(pattern)).read_bytes())
    pixels, labels = read("t10k-images*"), read("t10k-labels*")
    _, count, height, width = struct.unpack(">4I", pixels[:16])
    classes = {name: {} for name in FASHION}
    for i, label in enumerate(labels[8 : 8 + count]):
        pictures = classes[FASHION[label]]
        if len(pictures) < FASHION_EACH:
            start = 16 + i * height * width
            pictures[f"{i:05}.png"] = lambda start=start: png(pixels[start : start + height * width], width, height)
    return classes


def png(grey, width, height):
    """An 8-bit greyscale PNG: standard library only, so that the demo needs nothing installed."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + grey[y * width : (y + 1) * width] for y in range(height))
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
