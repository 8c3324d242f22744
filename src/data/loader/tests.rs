use super::*;
use crate::data::{Prefetch, Table};
use crate::objective::Label;
use std::collections::BTreeSet;
use std::path::Path;

const SIZE: usize = 4;

/// A folder of images, each a constant that tells its number, and their table; the files in `broken` are no images.
fn database(folder: &Path, name: &str, images: usize, broken: &[usize]) -> Database {
    let mut table = "image,identity\n".to_owned();
    for number in 0..images {
        let file = format!("{name}{number}.png");
        let path = folder.join(&file);
        if broken.contains(&number) {
            std::fs::write(&path, "no image").unwrap();
        } else {
            let value = [number as u8, (number >> 8) as u8, name.as_bytes()[0]];
            let picture = image::RgbImage::from_pixel(SIZE as u32, SIZE as u32, image::Rgb(value));
            picture.save(&path).unwrap();
        }
        table += &format!("{file},{number}\n");
    }
    let path = folder.join(format!("{name}.csv"));
    std::fs::write(&path, table).unwrap();
    let mut rows = Table::read(&path).unwrap().rows;
    // The label tells the number too.
    for row in &mut rows {
        row.labels.tasks = vec![Label::Class(row.identity.unwrap())];
    }
    Database {
        name: name.to_owned(),
        rows,
        weight: None,
    }
}

/// What the pixels of each image of a batch tell: the database's first letter, and the number.
fn shown(batch: &Batch) -> Vec<(u8, usize)> {
    let pixels = batch.pixels.chunks_exact(SIZE * SIZE * 3);
    pixels
        .zip(&batch.labels)
        .map(|(pixels, labels)| {
            let number = usize::from(pixels[0]) + 256 * usize::from(pixels[1]);
            assert_eq!(pixels, pixels[..3].repeat(SIZE * SIZE));
            let label = Label::Class(number as u32);
            assert_eq!(labels.get(0), label, "the label of another image");
            (pixels[2], number)
        })
        .collect()
}

fn loader(databases: Vec<Database>, batch: usize, seed: u64, cache: usize) -> Loader {
    let augment = Augment {
        flip: true,
        rotation: 10.0,
        scale: 0.1,
        shift: 0.1,
    };
    Loader::new(databases, SIZE, batch, seed, augment, &Cache::memory(cache)).unwrap()
}

fn same(a: &Batch, b: &Batch) -> bool {
    (&a.pixels, &a.matrices, &a.labels) == (&b.pixels, &b.matrices, &b.labels)
}

#[test]
fn a_batch_is_a_function_of_seed_and_step() {
    let folder = tempfile::tempdir().unwrap();
    let make = |seed, cache| {
        let a = database(folder.path(), "a", 7, &[]);
        let b = database(folder.path(), "b", 12, &[]);
        loader(vec![a, b], 5, seed, cache)
    };
    let kept = make(3, 1 << 20);
    let steps: Vec<Batch> = (0..12).map(|step| kept.batch(step).unwrap()).collect();
    // Another loader, in another order of steps, with no memory and with a little of it.
    for cache in [0, 3 * SIZE * SIZE * 3] {
        let fresh = make(3, cache);
        for step in [11, 0, 5, 6, 5] {
            let batch = fresh.batch(step).unwrap();
            assert!(same(&batch, &steps[step as usize]), "step {step}");
        }
    }
    let other = make(4, 0).batch(0).unwrap();
    assert_ne!(shown(&other), shown(&steps[0]));
    assert_ne!(other.matrices, steps[0].matrices);
}

#[test]
fn an_epoch_shows_every_image_once_in_an_order_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let a = database(folder.path(), "a", 10, &[]);
    let b = database(folder.path(), "b", 20, &[]);
    // 1 and 2 of each batch of 3: both databases have epochs of 10 steps.
    let loader = loader(vec![a, b], 3, 1, 1 << 20);
    assert_eq!((loader.len(), loader.steps_per_epoch()), (30, 10));
    let epoch = |first: u64| -> Vec<_> {
        let steps = first..first + 10;
        steps
            .flat_map(|step| shown(&loader.batch(step).unwrap()))
            .collect()
    };
    let (first, second) = (epoch(0), epoch(10));
    let wanted: BTreeSet<_> = (0..10)
        .map(|i| (b'a', i))
        .chain((0..20).map(|i| (b'b', i)))
        .collect();
    for epoch in [&first, &second] {
        assert_eq!(epoch.iter().copied().collect::<BTreeSet<_>>(), wanted);
        let databases: Vec<_> = epoch.iter().map(|(name, _)| *name).collect();
        assert_eq!(databases, b"abb".repeat(10));
    }
    assert_ne!(first, second);
}

#[test]
fn a_batch_across_the_end_of_an_epoch_goes_on_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(vec![database(folder.path(), "a", 7, &[])], 4, 1, 0);
    let all: Vec<_> = (0..7)
        .flat_map(|step| shown(&loader.batch(step).unwrap()))
        .collect();
    for epoch in all.chunks(7) {
        assert_eq!(epoch.iter().collect::<BTreeSet<_>>().len(), 7);
    }
}

#[test]
fn broken_images_are_replaced_and_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let broken = [17, 93];
    let make = |cache| {
        let a = database(folder.path(), "a", 200, &broken);
        let b = database(folder.path(), "b", 10, &[]);
        loader(vec![a, b], 21, 2, cache)
    };
    let loader = make(1 << 20);
    let mut seen = BTreeSet::new();
    let steps: Vec<_> = (0..20).map(|step| loader.batch(step).unwrap()).collect();
    for batch in &steps {
        assert_eq!(batch.present(), 21);
        seen.extend(shown(batch));
    }
    assert_eq!(seen.len(), 198 + 10);
    let reports = loader.broken();
    let files: Vec<_> = reports
        .iter()
        .map(|b| b.file.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(files, ["a17.png", "a93.png"]);
    assert!(
        reports
            .iter()
            .all(|b| b.database == "a" && b.reason.contains("not an image"))
    );
    // The replacement is the same when the step comes out of order.
    let fresh = make(0);
    for step in (0..20).rev() {
        assert!(
            same(&fresh.batch(step).unwrap(), &steps[step as usize]),
            "step {step}"
        );
    }
    assert_eq!(fresh.broken(), reports);
}

#[test]
fn batches_from_a_folder_of_decoded_images_are_those_without() {
    let folder = tempfile::tempdir().unwrap();
    let make = |cache: &Cache| {
        let a = database(folder.path(), "a", 150, &[17]);
        let b = database(folder.path(), "b", 12, &[]);
        Loader::new(vec![a, b], SIZE, 7, 5, Augment::NONE, cache).unwrap()
    };
    let plain = make(&Cache::none());
    let steps: Vec<_> = (0..50).map(|step| plain.batch(step).unwrap()).collect();
    let kept = folder.path().join("kept");
    // Made, found, and found in part after a change that leaves the picture as it is.
    for _ in 0..3 {
        let loader = make(&Cache::open(&kept, SIZE, 1 << 20).unwrap());
        for step in (0..50).rev() {
            let batch = loader.batch(step).unwrap();
            assert!(same(&batch, &steps[step as usize]), "step {step}");
        }
        let broken: Vec<_> = loader.broken().into_iter().map(|b| b.file).collect();
        assert_eq!(broken, [folder.path().join("a17.png")]);
    }
    assert!(std::fs::read_dir(&kept).unwrap().count() > 0);
}

#[test]
fn more_than_a_hundredth_broken_stops() {
    let folder = tempfile::tempdir().unwrap();
    let run = |broken: &[usize]| {
        let loader = loader(
            vec![database(folder.path(), "a", 200, broken)],
            20,
            2,
            1 << 20,
        );
        (0..10).try_for_each(|step| loader.batch(step).map(|_| ()))
    };
    assert!(run(&[5, 6]).is_ok());
    let error = run(&[5, 6, 7]).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::TooManyBroken {
                broken: 3,
                images: 200,
                ..
            }
        ),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("database `a`") && text.contains("a5.png"),
        "{text}"
    );
    let all: Vec<usize> = (0..200).collect();
    assert!(matches!(run(&all), Err(DataError::TooManyBroken { .. })));
}

#[test]
fn rejects_nothing_to_read() {
    let none = Loader::new(Vec::new(), SIZE, 4, 1, Augment::NONE, &Cache::none());
    assert!(matches!(none, Err(DataError::NoDatabase)));
    let empty = || Database {
        name: "void".to_owned(),
        rows: Vec::new(),
        weight: None,
    };
    let error = Loader::new(vec![empty()], SIZE, 4, 1, Augment::NONE, &Cache::none()).unwrap_err();
    assert!(error.to_string().starts_with("void"), "{error}");
    assert!(Sequence::new(empty(), SIZE, 4, &Cache::none()).is_err());
}

#[test]
fn a_sequence_keeps_the_order_and_marks_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let sequence = Sequence::new(
        database(folder.path(), "a", 150, &[2]),
        SIZE,
        4,
        &Cache::none(),
    )
    .unwrap();
    assert_eq!(sequence.batches(), 38);
    let mut numbers = Vec::new();
    for index in 0..sequence.batches() {
        let batch = sequence.batch(index).unwrap();
        assert_eq!((batch.labels.len(), batch.matrices.len()), (4, 32));
        assert_eq!(batch.matrices, identity_matrix(4));
        assert_eq!(batch.pixels.len(), 4 * SIZE * SIZE * 3);
        let mut present = batch.clone();
        for (image, labels) in batch.labels.iter().enumerate().rev() {
            if labels.absent {
                present.labels.remove(image);
                present
                    .pixels
                    .drain(image * SIZE * SIZE * 3..(image + 1) * SIZE * SIZE * 3);
            }
        }
        assert_eq!(present.labels.len(), batch.present());
        numbers.extend(shown(&present).iter().map(|(_, number)| *number));
    }
    let wanted: Vec<usize> = (0..150).filter(|number| *number != 2).collect();
    assert_eq!(numbers, wanted);
    assert_eq!(sequence.batch(37).unwrap().present(), 2);
    assert_eq!(sequence.broken().len(), 1);
    let small = Sequence::new(
        database(folder.path(), "b", 50, &[2]),
        SIZE,
        4,
        &Cache::none(),
    )
    .unwrap();
    assert!(matches!(
        small.batch(0),
        Err(DataError::TooManyBroken { .. })
    ));
}

#[test]
fn batches_ahead_are_those_of_their_steps_and_end_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let make = |loader: &Arc<Loader>| {
        let loader = loader.clone();
        move |step| loader.batch(step)
    };
    let good = Arc::new(loader(vec![database(folder.path(), "a", 9, &[])], 4, 1, 0));
    let ahead: Vec<_> = Prefetch::new(make(&good), 5, 2).take(6).collect();
    for (step, batch) in (5..).zip(&ahead) {
        assert!(
            same(batch.as_ref().unwrap(), &good.batch(step).unwrap()),
            "step {step}"
        );
    }
    let bad = Arc::new(loader(vec![database(folder.path(), "b", 9, &[4])], 3, 1, 0));
    let results: Vec<_> = Prefetch::new(make(&bad), 0, 2).collect();
    let (last, before) = results.split_last().unwrap();
    assert!(matches!(last, Err(DataError::TooManyBroken { .. })));
    assert!(before.len() < 3 && before.iter().all(Result::is_ok));
}
