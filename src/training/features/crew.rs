//! Many pictures at once, a thread a core, each thread with its own single-threaded arithmetic.
//!
//! Measured against one picture at a time on all cores: no thread waits at an operation's end for the others, decoding
//! needs no pipeline of its own, and another process on the same cores costs only its share (threads that meet after every
//! operation lose several times that).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::training::TrainingError;
use crate::vision::backbone::Backbone;
use crate::vision::device;

/// Results a thread that may wait to be taken.
const AHEAD: usize = 4;

/// The threads' handles on the backbone.
pub struct Crew {
    members: Vec<Backbone>,
}

impl Crew {
    /// A member for each thread that libtorch may use.
    pub fn new(backbone: &Backbone) -> Self {
        Self { members: (0..device::threads()).map(|_| backbone.share()).collect() }
    }

    /// Does `work` on items `0..items`, which answers any number of results through its last argument; `take` gets them on the
    /// calling thread, in the order they are done. Ends early with the first error, or when told to stop.
    pub fn each<R: Send>(
        &mut self,
        items: usize,
        stop: &AtomicBool,
        work: impl Fn(&Backbone, usize, &mut dyn FnMut(R) -> bool) -> Result<(), TrainingError> + Sync,
        mut take: impl FnMut(R) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        let next = AtomicUsize::new(0);
        let threads = device::threads();
        let done = thread::scope(|scope| {
            // Dropped at the end of this block, so that members which wait to hand over a result see that nobody takes it.
            let (sender, results) = sync_channel(AHEAD * self.members.len());
            for member in &mut self.members {
                let (sender, next, work) = (sender.clone(), &next, &work);
                scope.spawn(move || {
                    device::set_threads(Some(1));
                    loop {
                        let item = next.fetch_add(1, Ordering::Relaxed);
                        if item >= items {
                            return;
                        }
                        let mut taken = true;
                        let mut hand_over = |result| {
                            taken = sender.send(Ok(result)).is_ok();
                            taken
                        };
                        if let Err(error) = work(member, item, &mut hand_over) {
                            // Nobody listens only if the run is over already.
                            let _ = sender.send(Err(error));
                            return;
                        }
                        if !taken {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            results.into_iter().try_for_each(|result| {
                if stop.load(Ordering::Relaxed) {
                    return Err(TrainingError::Stopped);
                }
                take(result?)
            })
        });
        // The members' setting is also what libtorch gives to threads that it starts later.
        device::set_threads(u32::try_from(threads).ok());
        done
    }
}
