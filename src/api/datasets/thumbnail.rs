//! Small JPEGs in place of a data set's pictures, for pages that show hundreds of them.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa::IntoParams;

use super::images::unread;
use crate::api::ApiError;
use crate::vision::picture::{PictureError, PictureLimits};
use crate::vision::thumbnail::{ThumbnailError, thumbnail};

/// Sides that may be asked for, in pixels: so that nobody keeps the server busy with pictures as large as the stored ones.
const SIDES: RangeInclusive<u32> = 32..=512;

/// In which size a picture is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SizeQuery {
    /// A JPEG in place of the picture as it was sent: upright, its longer side at most this many pixels. Nothing is enlarged.
    #[param(minimum = 32, maximum = 512)]
    side: Option<u32>,
}

impl SizeQuery {
    /// The longer side, if it isn't the picture's own.
    pub(super) fn side(&self) -> Result<Option<u32>, ApiError> {
        match self.side {
            Some(side) if !SIDES.contains(&side) => {
                let (least, most) = SIDES.into_inner();
                Err(ApiError::field("side", format!("must be from {least} to {most}, not {side}")))
            }
            side => Ok(side),
        }
    }
}

/// Makes thumbnails, so many at a time, since each may hold a decoded picture of the largest size. Clones share the places.
#[derive(Debug, Clone)]
pub(in crate::api) struct Thumbnails {
    places: Arc<Semaphore>,
}

impl Thumbnails {
    /// With so many places, at least one.
    pub(in crate::api) fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places.max(1))) }
    }

    /// A JPEG of the picture that `read` reads, no side longer than `side`. Others of this kind are waited for, first come, first
    /// served.
    pub(super) async fn make(
        &self,
        read: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
        side: u32,
        limits: PictureLimits,
    ) -> Result<Vec<u8>, ApiError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(ApiError::internal)?;
        let make = move || {
            // Held until the JPEG is there: a client that goes away doesn't free a core that is still busy.
            let _place = place;
            Ok(thumbnail(&read()?, side, &limits))
        };
        tokio::task::spawn_blocking(make).await.map_err(ApiError::internal)?.map_err(unread)?.map_err(refused)
    }
}

/// A picture that was decoded when it came, and isn't now.
fn refused(error: ThumbnailError) -> ApiError {
    match error {
        // Larger ones were taken then.
        ThumbnailError::Picture(error @ (PictureError::TooManyBytes { .. } | PictureError::TooManyPixels { .. })) => {
            ApiError::unprocessable("unusable_picture", error.to_string())
        }
        ThumbnailError::Picture(error) => ApiError::damaged("dataset", error),
        ThumbnailError::Encode(error) => ApiError::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::dataset::testing::picture;

    #[tokio::test]
    async fn no_more_are_made_at_a_time_than_there_are_places() {
        let thumbnails = Thumbnails::new(2);
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let made = (0..8).map(|number| {
            let (inside, most) = (inside.clone(), most.clone());
            let read = move || {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Long enough for others to come in, were they let.
                std::thread::sleep(Duration::from_millis(20));
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok(picture(number))
            };
            thumbnails.make(read, 32, PictureLimits::default())
        });
        let made = futures_util::future::join_all(made).await;
        assert!(made.iter().all(|jpeg| jpeg.as_ref().unwrap().starts_with(&[0xff, 0xd8])));
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_place_when_the_work_is_done() {
        let thumbnails = Thumbnails::new(1);
        let (begun, has_begun) = mpsc::channel();
        let (go_on, waits) = mpsc::channel::<()>();
        let slow = {
            let thumbnails = thumbnails.clone();
            let read = move || {
                begun.send(()).unwrap();
                waits.recv().unwrap();
                Ok(picture(1))
            };
            tokio::spawn(async move { thumbnails.make(read, 32, PictureLimits::default()).await })
        };
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        slow.abort();
        assert!(slow.await.unwrap_err().is_cancelled());
        let next = thumbnails.make(|| Ok(picture(2)), 32, PictureLimits::default());
        tokio::pin!(next);
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut next).await.is_err(), "the place isn't free yet");
        go_on.send(()).unwrap();
        next.await.unwrap();
    }
}
