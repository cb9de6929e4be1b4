//! Work for all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use topgraft::vision::backbone::Backbone;
use topgraft::vision::device;

/// A handle on the backbone for each core.
pub fn handles(backbone: &Backbone) -> Vec<Backbone> {
    (0..device::threads()).map(|_| backbone.share()).collect()
}

/// Does `work` on all items and answers what came of each, in no particular order: a thread for each of `members`, with its own
/// single-threaded arithmetic. A core that is slower than others, because it is shared, takes fewer, as in extraction.
pub fn each<M: Send, T: Sync, R: Send>(
    members: Vec<M>,
    items: &[T],
    work: impl Fn(&M, &T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let (threads, next) = (device::threads(), AtomicUsize::new(0));
    let parts = thread::scope(|scope| {
        let spawn = |member: M| {
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                device::set_threads(Some(1));
                let items = std::iter::from_fn(|| items.get(next.fetch_add(1, Ordering::Relaxed)));
                items.map(|item| work(&member, item)).collect::<anyhow::Result<Vec<R>>>()
            })
        };
        let running: Vec<_> = members.into_iter().map(spawn).collect();
        running.into_iter().map(|thread| thread.join().expect("no stage panics")).collect::<anyhow::Result<Vec<_>>>()
    });
    // The members' setting is also what libtorch gives to threads that it starts later.
    device::set_threads(u32::try_from(threads).ok());
    Ok(parts?.into_iter().flatten().collect())
}
