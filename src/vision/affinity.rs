//! Which processor a thread runs on, where two of them share every operation.

#[cfg(target_os = "linux")]
pub use linux::apart;

/// Runs `compute`.
#[cfg(not(target_os = "linux"))]
pub fn apart<T>(compute: impl FnOnce() -> T) -> T {
    compute()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

    use crate::vision::{device, operators};

    /// The processors that this process may use, if they are two.
    static PROCESSORS: OnceLock<Option<[usize; 2]>> = OnceLock::new();

    thread_local! {
        /// The thread that shares this one's operations, once it is tied to the second processor.
        static COMPANION: Cell<Option<Pid>> = const { Cell::new(None) };
    }

    /// Runs `compute` with the calling thread and the one that shares its operations on a processor each, where this process may use
    /// two and libtorch uses both.
    ///
    /// The two meet after every operation, and wait for each other busily, which to the scheduler looks like work. Now and then it leaves
    /// both on one processor and the other idle, for as long as a minute (seen on Linux 6.18): a training step takes twice as long then, and a
    /// prediction waits for whatever else runs there. With more processors libtorch's threads come and go, inheriting where the one that
    /// starts them is tied, so there the scheduler is left alone.
    ///
    /// `compute` must not start threads: they would be tied too.
    pub fn apart<T>(compute: impl FnOnce() -> T) -> T {
        let _tied = Tied::new();
        compute()
    }

    /// Ties the calling thread to the first processor while it lives.
    struct Tied([usize; 2]);

    impl Tied {
        /// `None` where there is nothing to tie, or the operating system doesn't let us: then all is as it was.
        fn new() -> Option<Self> {
            let processors = (*PROCESSORS.get_or_init(processors))?;
            if device::threads() != processors.len() {
                return None;
            }
            let companion = companion()?;
            if COMPANION.get() != Some(companion) {
                sched_setaffinity(Some(companion), &only(&processors[1..])).ok()?;
                COMPANION.set(Some(companion));
            }
            sched_setaffinity(None, &only(&processors[..1])).ok()?;
            Some(Self(processors))
        }
    }

    impl Drop for Tied {
        fn drop(&mut self) {
            // It was allowed both before, so nothing but their disappearance could refuse it.
            let _ = sched_setaffinity(None, &only(&self.0));
        }
    }

    /// The thread that shares this one's operations.
    fn companion() -> Option<Pid> {
        let team = operators::team::<2>().ok()?;
        let me = gettid();
        let mut others = team.into_iter().filter_map(Pid::from_raw).filter(|thread| *thread != me);
        others.next()
    }

    fn processors() -> Option<[usize; 2]> {
        let allowed = sched_getaffinity(None).ok()?;
        let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect();
        processors.try_into().ok()
    }

    fn only(processors: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        processors.iter().for_each(|processor| set.set(*processor));
        set
    }

    #[cfg(test)]
    mod tests {
        use std::panic::catch_unwind;

        use super::*;

        fn allowed(thread: Option<Pid>) -> CpuSet {
            sched_getaffinity(thread).unwrap()
        }

        #[test]
        fn two_threads_are_apart_while_they_compute() {
            device::set_threads(Some(2));
            let before = allowed(None);
            let [mine, theirs] = apart(|| [allowed(None), allowed(companion())]);
            if let Some([first, second]) = processors() {
                assert!(mine == only(&[first]) && theirs == only(&[second]));
                assert!(catch_unwind(|| apart(|| panic!("out of order"))).is_err());
                assert!(allowed(None) == before, "free again");
                assert!(apart(|| apart(|| allowed(companion()))) == only(&[second]), "still tied");
            } else {
                assert!(mine == before, "left alone");
            }
            assert!(allowed(None) == before, "free again");
            // A thread that computes alone has no companion.
            device::set_threads(Some(1));
            assert!(apart(|| allowed(None)) == before);
        }
    }
}
