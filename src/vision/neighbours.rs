//! Which of the training pictures look most like a picture, to the model that is asked.
//!
//! Of some training pictures the model keeps what the head's hidden layer made of them. How like two pictures are is the cosine
//! between what it makes of the one and of the other.

/// Numbers of embeddings that a model keeps at most: 4 MB, which a picture is compared with in less than a millisecond.
const MOST_NUMBERS: usize = 1 << 20;

/// An artifact's numbers are f32, which hold every whole number below this. Data sets have at most 200,000 pictures unless a
/// configuration allows more; pictures with larger numbers aren't kept, so what is kept is exact.
const EXACT: usize = 1 << 24;

/// How far a stored direction's squared length may be from 1: far more than rounding makes of it.
const TOLERANCE: f32 = 1e-3;

/// Sums that run side by side in [`dot`].
const LANES: usize = 16;

/// A training picture, and how like a picture it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its number in the model's data set.
    pub image: u32,
    /// Its class's place among the model's classes.
    pub class: u32,
    /// The cosine, 0 to 1, which is the same.
    pub similarity: f32,
}

/// Training pictures that others are compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    units: usize,
    /// `[pictures, units]`, row-major; each row of length 1.
    embeddings: Vec<f32>,
    /// Each picture's number.
    images: Vec<u32>,
    /// Each picture's class.
    classes: Vec<u32>,
}

impl Neighbours {
    /// No pictures yet; embeddings have `units` numbers.
    #[must_use]
    pub const fn none(units: usize) -> Self {
        Self { units, embeddings: Vec::new(), images: Vec::new(), classes: Vec::new() }
    }

    /// How many pictures are to be kept at most, if embeddings have `units` numbers.
    #[must_use]
    pub fn most(units: usize) -> usize {
        MOST_NUMBERS.checked_div(units).unwrap_or(0)
    }

    /// Keeps a picture. One whose embedding points nowhere is like no other, and is left out; so is one with too large a number.
    pub fn add(&mut self, image: usize, class: usize, embedding: &[f32]) {
        if let Some(direction) = direction(embedding).filter(|_| image < EXACT && class < EXACT) {
            self.embeddings.extend(direction);
            // Below 2^24.
            self.images.push(image as u32);
            self.classes.push(class as u32);
        }
    }

    /// Takes over what [`Neighbours::embeddings`], [`Neighbours::images`] and [`Neighbours::classes`] gave, for a model whose
    /// embeddings have `units` numbers and which tells `known` classes apart.
    ///
    /// # Errors
    /// Numbers that can't be such, in words.
    pub fn new(embeddings: Vec<f32>, images: &[f32], classes: &[f32], units: usize, known: usize) -> Result<Self, String> {
        let (numbers, count) = (embeddings.len(), images.len());
        if units == 0 || count == 0 || classes.len() != count || numbers != count * units {
            let labels = classes.len();
            return Err(format!("{numbers} numbers aren't {units} for each of {count} neighbours with {labels} classes"));
        }
        if !embeddings.chunks_exact(units).all(|row| (dot(row, row) - 1.0).abs() <= TOLERANCE) {
            return Err("the embeddings of neighbours must have the length 1".to_owned());
        }
        let images = whole(images, EXACT).ok_or("neighbours must be pictures' numbers")?;
        let classes = whole(classes, known).ok_or_else(|| format!("the classes of neighbours must be below {known}"))?;
        Ok(Self { units, embeddings, images, classes })
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The pictures' directions, one after another.
    #[must_use]
    pub fn embeddings(&self) -> &[f32] {
        &self.embeddings
    }

    /// The pictures' numbers.
    #[must_use]
    pub fn images(&self) -> Vec<f32> {
        self.images.iter().map(|&image| image as f32).collect()
    }

    /// The pictures' classes.
    #[must_use]
    pub fn classes(&self) -> Vec<f32> {
        self.classes.iter().map(|&class| class as f32).collect()
    }

    /// The `count` pictures most like what the hidden layer made of a picture, the most like first; of equals the one with the
    /// lower number. None if it made nothing but zeros of it, which point nowhere, or `embedding` is of another length.
    #[must_use]
    pub fn nearest(&self, embedding: &[f32], count: usize) -> Vec<Neighbour> {
        let Some(direction) = direction(embedding).filter(|direction| direction.len() == self.units) else { return Vec::new() };
        // Nothing is negative behind a ReLU, and rounding goes a little beyond 1.
        let likeness = self.embeddings.chunks_exact(self.units).map(|row| dot(row, &direction).clamp(0.0, 1.0));
        let pictures = self.images.iter().zip(&self.classes);
        let neighbour = |(similarity, (&image, &class))| Neighbour { image, class, similarity };
        let mut nearest: Vec<Neighbour> = likeness.zip(pictures).map(neighbour).collect();
        nearest.sort_unstable_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.image.cmp(&b.image)));
        nearest.truncate(count);
        nearest
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.embeddings) + size_of_val(&*self.images) + size_of_val(&*self.classes)
    }
}

/// The vector of length 1 in the same direction; `None` for zeros, and for what isn't finite.
fn direction(embedding: &[f32]) -> Option<Vec<f32>> {
    // In f64, in which no f32's square is too large or too small.
    let length = embedding.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    (length.is_finite() && length > 0.0).then(|| embedding.iter().map(|x| (f64::from(*x) / length) as f32).collect())
}

/// The sum of products of two rows of equal length. In sums side by side: in a single one each addition waits for the last.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Whole numbers from 0 to less than `below`; `None` if there is another among them.
fn whole(numbers: &[f32], below: usize) -> Option<Vec<u32>> {
    // Not-a-number fails these comparisons too. A whole number below 2^24 is the same as a u32.
    let is_one = |x: f32| x >= 0.0 && x.fract() == 0.0 && x < EXACT as f32 && (x as usize) < below;
    numbers.iter().map(|&x| is_one(x).then_some(x as u32)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pictures 10, 11, … of these embeddings, of classes 0, 1, 0, …
    fn kept(embeddings: &[&[f32]]) -> Neighbours {
        let mut neighbours = Neighbours::none(embeddings[0].len());
        embeddings.iter().enumerate().for_each(|(n, embedding)| neighbours.add(10 + n, n % 2, embedding));
        neighbours
    }

    fn images(nearest: &[Neighbour]) -> Vec<u32> {
        nearest.iter().map(|neighbour| neighbour.image).collect()
    }

    #[test]
    fn the_most_like_come_first_and_of_equals_the_lower_number() {
        let neighbours = kept(&[&[0.0, 2.0, 0.0], &[1.0, 1.0, 0.0], &[3.0, 3.0, 0.0], &[0.0, 0.0, 1.0]]);
        let nearest = neighbours.nearest(&[0.5, 0.0, 0.0], 4);
        assert_eq!(images(&nearest), [11, 12, 10, 13]);
        assert!((nearest[0].similarity - 0.5f32.sqrt()).abs() < 1e-6 && nearest[3].similarity == 0.0);
        assert_eq!((nearest[0].class, nearest[1].class), (1, 0));
        assert_eq!(images(&neighbours.nearest(&[0.5, 0.0, 0.0], 1)), [11]);
        assert_eq!(neighbours.nearest(&[0.5, 0.0, 0.0], 0), []);
    }

    #[test]
    fn what_points_nowhere_has_no_neighbours_and_is_nobodys() {
        let neighbours = kept(&[&[0.0, 0.0], &[1.0, 0.0], &[f32::NAN, 1.0]]);
        assert_eq!(neighbours.images(), [11.0]);
        for nowhere in [&[0.0, 0.0][..], &[f32::INFINITY, 0.0], &[f32::NAN, 1.0], &[1.0], &[]] {
            assert_eq!(neighbours.nearest(nowhere, 3), [], "{nowhere:?}");
        }
        // Too small and too large to be squared in f32.
        for far in [1e-40, 1e30] {
            assert_eq!(neighbours.nearest(&[far, far], 1)[0].similarity, 0.5f32.sqrt());
        }
        assert_eq!(Neighbours::none(2).nearest(&[1.0, 0.0], 3), []);
    }

    #[test]
    fn it_reads_back_and_refuses_what_it_can_not_be() {
        let neighbours = kept(&[&[1.0, 2.0], &[3.0, 1.0]]);
        let (embeddings, images, classes) = (neighbours.embeddings().to_vec(), neighbours.images(), neighbours.classes());
        assert_eq!(Neighbours::new(embeddings.clone(), &images, &classes, 2, 2).unwrap(), neighbours);
        assert_eq!(neighbours.bytes(), 2 * 2 * 4 + 2 * 4 + 2 * 4);
        let refused = |images: &[f32], classes: &[f32], units, known| {
            Neighbours::new(embeddings.clone(), images, classes, units, known).unwrap_err()
        };
        refused(&images, &classes, 4, 2);
        refused(&images, &classes, 0, 2);
        refused(&[], &[], 2, 2);
        refused(&images, &[0.0], 2, 2);
        assert!(refused(&images, &classes, 2, 1).contains("below 1"));
        for number in [-1.0, 0.5, 16_777_216.0, f32::NAN, f32::INFINITY] {
            assert!(refused(&[10.0, number], &classes, 2, 2).contains("pictures' numbers"), "{number}");
        }
        for odd in [2.0, 0.0, f32::NAN] {
            let longer = embeddings.iter().map(|x| x * odd).collect();
            assert!(Neighbours::new(longer, &images, &classes, 2, 2).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_exact() {
        assert_eq!([Neighbours::most(256), Neighbours::most(8192), Neighbours::most(0)], [4096, 128, 0]);
        let mut neighbours = Neighbours::none(1);
        neighbours.add(EXACT - 1, 0, &[1.0]);
        neighbours.add(EXACT, 0, &[1.0]);
        neighbours.add(0, EXACT, &[1.0]);
        assert_eq!(neighbours.images(), [16_777_215.0]);
        assert_eq!(whole(&neighbours.images(), EXACT), Some(vec![16_777_215]));
    }

    proptest! {
        #[test]
        fn a_kept_picture_is_its_own_neighbour(
            rows in proptest::collection::vec(proptest::collection::vec(0.01f32..9.0, 37), 1..9),
            asked in proptest::collection::vec(0.01f32..9.0, 37),
            scale in 1e-3f32..1e3,
        ) {
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let neighbours = kept(&rows);
            for (n, row) in rows.iter().enumerate() {
                let scaled: Vec<f32> = row.iter().map(|x| x * scale).collect();
                let nearest = neighbours.nearest(&scaled, rows.len());
                let own = nearest.iter().find(|neighbour| neighbour.image == 10 + n as u32).unwrap();
                prop_assert!(own.similarity > 1.0 - 1e-5 && own.similarity >= nearest[0].similarity - 1e-5);
            }
            let all = neighbours.nearest(&asked, usize::MAX);
            prop_assert_eq!(all.len(), neighbours.images().len());
            prop_assert!(all.iter().all(|neighbour| (0.0..=1.0).contains(&neighbour.similarity)));
            let in_order = |a: &Neighbour, b: &Neighbour| {
                a.similarity > b.similarity || (a.similarity == b.similarity && a.image < b.image)
            };
            prop_assert!(all.is_sorted_by(in_order));
            prop_assert_eq!(&neighbours.nearest(&asked, 3)[..], &all[..all.len().min(3)]);
        }
    }
}
