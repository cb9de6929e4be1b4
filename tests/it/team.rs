//! Features that several compute: without a server the run and a helper, each with a folder of its own and one between them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use topgraft::report::FeaturePlan;
use topgraft::training::{Exchange, Finished, Helper, Helpers, Plan, Shard, SharingError, Standing};

use crate::training::{Bench, Told, numbers, recipe};

/// What machines share.
#[derive(Debug)]
struct Between {
    folder: PathBuf,
    kept: Cell<usize>,
}

impl Between {
    fn place(&self, segment: &Path) -> PathBuf {
        let shelf = segment.parent().unwrap();
        self.folder.join(shelf.file_name().unwrap()).join(segment.file_name().unwrap())
    }
}

impl Exchange for Between {
    fn list(&self, shelf: &str) -> Result<Vec<(String, u64)>, SharingError> {
        let Ok(files) = fs::read_dir(self.folder.join(shelf)) else { return Ok(Vec::new()) };
        let file = |file: fs::DirEntry| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len());
        Ok(files.map(|entry| file(entry.unwrap())).collect())
    }

    fn fetch(&self, segments: &[PathBuf]) -> Result<(), SharingError> {
        for segment in segments {
            fs::copy(self.place(segment), segment).unwrap();
        }
        Ok(())
    }

    fn keep(&self, segment: &Path) -> Result<(), SharingError> {
        let place = self.place(segment);
        assert!(!place.exists(), "a segment is kept once");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(segment, place).unwrap();
        self.kept.set(self.kept.get() + 1);
        Ok(())
    }
}

/// A helper that takes all shards but the first.
struct Other<'a> {
    bench: &'a Bench,
    plan: Plan<'a>,
    features: FeaturePlan,
    arithmetic: RefCell<String>,
    offered: RefCell<Vec<Shard>>,
    taken: Cell<bool>,
    computed: Cell<u64>,
    turns: Cell<u32>,
}

impl fmt::Debug for Other<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Other")
    }
}

impl Helpers for Other<'_> {
    fn turn(&self, _: &str, arithmetic: &str) -> Result<bool, SharingError> {
        self.arithmetic.replace(arithmetic.to_owned());
        self.turns.set(self.turns.get() + 1);
        Ok(self.turns.get() > 1)
    }

    fn await_turn(&self) {}

    fn offer(&self, shards: &[Shard]) -> Result<(), SharingError> {
        self.offered.replace(shards.to_vec());
        Ok(())
    }

    fn next(&self) -> Result<Option<u32>, SharingError> {
        Ok((!self.taken.replace(true)).then_some(0))
    }

    fn finish(&self, shard: u32) -> Result<(), SharingError> {
        assert_eq!(shard, 0);
        Ok(())
    }

    fn standing(&self) -> Result<Standing, SharingError> {
        if !self.taken.get() {
            return Ok(Standing { finished: Vec::new(), open: self.offered.borrow().len() as u64 });
        }
        let mut helper = Helper::new(&self.plan, &self.bench.data, self.features.clone(), &self.arithmetic.borrow()).unwrap();
        let mut finished = Vec::new();
        for shard in self.offered.borrow_mut().split_off(1) {
            let (computed, segments) = helper.compute(&shard.samples, &AtomicBool::new(false)).unwrap();
            self.computed.set(self.computed.get() + computed);
            finished.push(Finished { number: shard.number, segments });
        }
        Ok(Standing { finished, open: 0 })
    }

    fn wait(&self) {
        panic!("there is nothing to wait for");
    }

    fn end(&self) {
        self.turns.set(0);
    }
}

/// How often each row is in the segments below a folder, by shelf and key: an index of 24 bytes a row before a footer of 16.
pub fn rows(features: &Path) -> HashMap<(PathBuf, Vec<u8>), usize> {
    let mut rows = HashMap::new();
    for shelf in fs::read_dir(features).unwrap().map(|shelf| shelf.unwrap().path()) {
        let files = fs::read_dir(&shelf).unwrap().map(|file| file.unwrap().path());
        for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "segment")) {
            let bytes = fs::read(path).unwrap();
            let (rest, footer) = bytes.split_at(bytes.len() - 16);
            let count = u32::from_le_bytes(footer[..4].try_into().unwrap()) as usize;
            for entry in rest[rest.len() - 24 * count..].chunks(24) {
                *rows.entry((PathBuf::from(shelf.file_name().unwrap()), entry[..16].to_vec())).or_default() += 1;
            }
        }
    }
    rows
}

#[test]
fn a_run_that_others_help_comes_to_the_same_and_no_row_is_computed_twice() {
    // 272 views: more than a shard has.
    let bench = Bench::new(4, 34);
    let recipe: Value = recipe(
        &json!({"group_duplicates": false, "warm_up": {"epochs": 1, "optimizer": {"learning_rate": 1e-3}}, "fine_tune": {"epochs": 1}}),
    );
    let mut told = Told::default();
    let alone = bench.carry_out(&bench.plan(&bench.features("alone"), &recipe), &mut told).unwrap();
    let features = told.plan.unwrap();

    let between = Between { folder: bench.features("between"), kept: Cell::new(0) };
    let other = Other {
        bench: &bench,
        plan: Plan { exchange: Some(&between), ..bench.plan(&bench.features("other"), &recipe) },
        features: features.clone(),
        arithmetic: RefCell::default(),
        offered: RefCell::default(),
        taken: Cell::default(),
        computed: Cell::default(),
        turns: Cell::default(),
    };
    let plan = Plan { exchange: Some(&between), helpers: Some(&other), ..bench.plan(&bench.features("leader"), &recipe) };
    let helped = bench.carry_out(&plan, &mut Told::default()).unwrap();
    assert_eq!(numbers(&helped), numbers(&alone));
    assert_eq!(helped.report, alone.report);
    assert!((1..features.rows).contains(&other.computed.get()), "{}", other.computed.get());
    assert_eq!(other.turns.get(), 0, "the turn was given back");
    for (folder, what) in [("alone", "each"), ("leader", "fetched or computed"), ("between", "kept")] {
        let rows = rows(&bench.features(folder));
        // Of each view one at the boundary and one at the top.
        assert_eq!(rows.len() as u64, 2 * features.rows, "{what}");
        assert!(rows.values().all(|count| *count == 1), "{what} once");
    }
    assert_eq!(rows(&bench.features("other")).len() as u64, 2 * other.computed.get());

    // A third machine computes nothing.
    let kept = between.kept.get();
    let plan = Plan { exchange: Some(&between), ..bench.plan(&bench.features("third"), &recipe) };
    let third = bench.carry_out(&plan, &mut Told::default()).unwrap();
    assert_eq!((numbers(&third), between.kept.get()), (numbers(&alone), kept));
    // What it has no room for it computes for itself, every time.
    let few = Bench::new(2, 4);
    let plan = few.plan(&few.features("cramped"), &recipe);
    let plan = Plan { exchange: Some(&between), feature_cache_bytes: 1000, ..plan };
    assert_eq!(few.carry_out(&plan, &mut Told::default()).unwrap().report.phases.len(), 2);
    assert_eq!(between.kept.get(), kept);
}
