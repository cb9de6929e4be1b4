//! Many pictures at once, a thread a core, each thread with its own single-threaded arithmetic.
//!
//! Measured against one picture at a time on all cores: no thread waits at an operation's end for the others, decoding
//! needs no pipeline of its own, and another process on the same cores costs only its share (threads that meet after every
//! operation lose several times that).

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::training::TrainingError;
use crate::vision::backbone::Backbone;
use crate::vision::device;

/// Results that a thread hands over together. The taking thread takes a core from one of the crew each time it is woken.
const TOGETHER: usize = 4;

/// How long a result is kept back for others, where they take longer.
const SOON: Duration = Duration::from_millis(100);

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
    /// calling thread, a few at a time, each thread's in its order. Ends early with the first error, or when told to stop.
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
            // Dropped at the end of this block, so that members which wait to hand over results see that nobody takes them.
            let (sender, results) = sync_channel(self.members.len());
            for member in &mut self.members {
                let (sender, next, work) = (sender.clone(), &next, &work);
                scope.spawn(move || {
                    device::set_threads(Some(1));
                    let mut ready = Ready { results: Vec::with_capacity(TOGETHER), since: Instant::now(), sender };
                    loop {
                        let item = next.fetch_add(1, Ordering::Relaxed);
                        if item >= items {
                            ready.send();
                            return;
                        }
                        let mut taken = true;
                        let mut hand_over = |result| {
                            taken = ready.push(result);
                            taken
                        };
                        if let Err(error) = work(member, item, &mut hand_over) {
                            ready.send();
                            // Nobody listens only if the run is over already.
                            let _ = ready.sender.send(Err(error));
                            return;
                        }
                        if !taken {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            results.into_iter().try_for_each(|results| {
                results?.into_iter().try_for_each(|result| {
                    if stop.load(Ordering::Relaxed) {
                        return Err(TrainingError::Stopped);
                    }
                    take(result)
                })
            })
        });
        // The members' setting is also what libtorch gives to threads that it starts later.
        device::set_threads(u32::try_from(threads).ok());
        done
    }
}

/// A member's results that are to be handed over.
struct Ready<R> {
    results: Vec<R>,
    /// When results were last handed over.
    since: Instant,
    sender: SyncSender<Result<Vec<R>, TrainingError>>,
}

impl<R> Ready<R> {
    /// Adds a result; false if nobody takes results any more.
    fn push(&mut self, result: R) -> bool {
        self.results.push(result);
        if self.results.len() < TOGETHER && self.since.elapsed() < SOON {
            return true;
        }
        self.send()
    }

    /// Hands over what there is; false if nobody takes it.
    fn send(&mut self) -> bool {
        let results = mem::replace(&mut self.results, Vec::with_capacity(TOGETHER));
        let taken = self.sender.send(Ok(results)).is_ok();
        self.since = Instant::now();
        taken
    }
}
