use std::sync::atomic::AtomicBool;
use topgraft::{
    dataset::{ingest::ingest, pack::Pack},
    training::*,
    vision::preprocessing::Preprocessing,
    vision::weights::BodyWeights,
};
struct P;
impl Observer for P {
    fn observe(&mut self, e: Event<'_>) -> Result<(), ObserverError> {
        match e {
            Event::Epoch(e) => println!(
                "{} {:>3} loss {:.4} acc {:.4} val {:.4} {:.4} {:.1}s",
                e.phase, e.epoch, e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy, e.seconds
            ),
            Event::Phase(p) => println!("{p}"),
            Event::Progress(p) => {
                if matches!(p.phase, topgraft::report::Stage::Features) && (p.fraction * 20.0).fract() < 0.1 {
                    println!("{:.2} eta {:?}", p.fraction, p.eta_seconds)
                }
            }
        }
        Ok(())
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let stop = AtomicBool::new(false);
    let t = std::time::Instant::now();
    let pack = std::path::Path::new("/tmp/exp/p.pack");
    let _ = std::fs::remove_file(pack);
    let i = ingest(std::path::Path::new(&a[1]), pack, &Default::default(), &|_| {}, &stop).map_err(|f| f.error).unwrap();
    println!("ingest {:.1}s {} {:?}", t.elapsed().as_secs_f64(), i.images.len(), i.rejected);
    let body = BodyWeights::load(std::path::Path::new("/tmp/vgg16-canonical.safetensors")).unwrap();
    let recipe: topgraft::recipe::Recipe = serde_json::from_str(&a[2]).unwrap();
    let data = TrainingData {
        classes: i.classes,
        images: i.images,
        content_sha256: i.content_sha256,
        pack: Pack::open(pack).unwrap(),
        limits: Default::default(),
    };
    let plan = Plan { recipe, body: &body, preprocessing: Preprocessing::default(), features_dir: "/tmp/exp/features".into() };
    let t = std::time::Instant::now();
    let r = run(&plan, &data, &mut P, &stop).unwrap();
    println!("total {:.1}s acc {:?}", t.elapsed().as_secs_f64(), r.report.accuracy());
}
