//! Who may come in: a bounded house, full or not, decided at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::PredictError;

/// The doors: so many callers at once, so many pictures at once, admitted and not answered.
#[derive(Debug, Clone)]
pub struct Admission {
    callers: Arc<Semaphore>,
    pictures: Arc<Semaphore>,
    next: Arc<AtomicU64>,
}

/// A caller that is in, until it is dropped.
#[derive(Debug)]
pub struct Caller {
    id: u64,
    pictures: Arc<Semaphore>,
    _place: OwnedSemaphorePermit,
}

impl Admission {
    /// A house for this many.
    pub fn new(callers: usize, pictures: usize) -> Self {
        let semaphore = |places: usize| Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
        Self { callers: semaphore(callers), pictures: semaphore(pictures), next: Arc::default() }
    }

    /// Lets a caller in, or says that the house is full.
    pub fn enter(&self) -> Result<Caller, PredictError> {
        let place = Arc::clone(&self.callers).try_acquire_owned().map_err(|_| PredictError::Busy)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(Caller { id, pictures: Arc::clone(&self.pictures), _place: place })
    }
}

impl Caller {
    /// Tells this caller's pictures from others'.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Places for `count` pictures at once, or the house is full.
    pub fn places(&self, count: usize) -> Result<OwnedSemaphorePermit, PredictError> {
        let count = u32::try_from(count).map_err(|_| PredictError::Busy)?;
        Arc::clone(&self.pictures).try_acquire_many_owned(count).map_err(|_| PredictError::Busy)
    }

    /// A place for one picture, waited for.
    pub async fn place(&self) -> Result<OwnedSemaphorePermit, PredictError> {
        Arc::clone(&self.pictures).acquire_owned().await.map_err(|_| PredictError::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_house_says_so_and_places_come_back() {
        let house = Admission::new(2, 3);
        let (first, second) = (house.enter().unwrap(), house.enter().unwrap());
        assert_ne!(first.id(), second.id());
        assert!(matches!(house.enter(), Err(PredictError::Busy)));
        let places = first.places(2).unwrap();
        assert!(matches!(second.places(2), Err(PredictError::Busy)));
        drop(places);
        assert!(second.places(3).is_ok());
        drop(first);
        assert!(house.enter().is_ok());
    }

    #[tokio::test]
    async fn a_place_is_waited_for() {
        let house = Admission::new(2, 1);
        let caller = house.enter().unwrap();
        let held = caller.places(1).unwrap();
        let waiting = caller.place();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        assert!(waiting.await.is_ok());
    }
}
