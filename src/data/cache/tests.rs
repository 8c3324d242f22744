use super::*;
use crate::data::decode;
use crate::random::Random;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const SIDE: usize = 8;
const BYTES: usize = 3 * SIDE * SIDE;

/// A folder with drawn pictures, and one for the cache.
struct Work {
    folder: tempfile::TempDir,
    pictures: Vec<PathBuf>,
}

/// A box for every second picture.
fn face(number: usize) -> Option<[f32; 4]> {
    (number % 2 == 1).then_some([2.0, 1.0, 9.0, 8.0])
}

impl Work {
    fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pictures = (0..count).map(|number| folder.path().join(format!("{number}.png")));
        let work = Self {
            pictures: pictures.collect(),
            folder,
        };
        for number in 0..count {
            work.draw(number, 1);
        }
        work
    }

    fn draw(&self, number: usize, seed: u64) {
        let random = Random::new(seed, &format!("picture {number}"));
        image::RgbImage::from_fn(13, 11, |x, y| {
            image::Rgb([0, 1, 2].map(|c| random.bits(u64::from(x + 13 * y) * 3 + c) as u8))
        })
        .save(&self.pictures[number])
        .unwrap();
    }

    fn cache_folder(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn open(&self, pictures: usize) -> Cache {
        Cache::open(&self.cache_folder(), SIDE, segment::len(SIDE, pictures)).unwrap()
    }

    /// The files of the cache.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.cache_folder()).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Looks all pictures up as a loader does, and decodes those that are not there; which were there. Every one must have the
    /// bits that decoding gives.
    fn pass(&self, cache: &Cache) -> Vec<bool> {
        let claim = |number: usize| {
            cache
                .claim(&self.pictures[number], face(number), SIDE)
                .unwrap()
        };
        let identities: Vec<_> = (0..self.pictures.len()).map(claim).collect();
        let look = |number: usize| {
            let path = &self.pictures[number];
            let decoded = decode(path, face(number), SIDE).unwrap();
            let key = Key::now(identities[number], path).unwrap();
            let found = cache.find(key);
            if let Some((pixels, _)) = &found {
                assert_eq!(pixels[..], decoded[..], "picture {number}");
            } else {
                cache.keep(Some(key), &Arc::from(decoded));
            }
            found.is_some()
        };
        (0..self.pictures.len()).map(look).collect()
    }
}

#[test]
fn what_one_run_decodes_another_finds_bit_for_bit() {
    let work = Work::new(9);
    let first = work.open(100);
    assert_eq!(work.pass(&first), [false; 9]);
    assert_eq!(
        work.pass(&first),
        [true; 9],
        "within the run, before anything is written"
    );
    assert!(work.files().is_empty());
    drop(first);
    assert_eq!(work.files().len(), 1);
    let second = work.open(100);
    assert_eq!(work.pass(&second), [true; 9]);
    drop(second);
    assert_eq!(work.files().len(), 1, "nothing new, nothing written");
}

#[test]
fn pictures_are_written_while_a_run_goes_on() {
    let work = Work::new(1);
    let cache = work.open(1_000_000);
    let pixels: Arc<[u8]> = vec![7; BYTES].into();
    let keys = (0..2 * GATHERED / BYTES + 5).map(|number| Key {
        identity: number as u128,
        stamp: 1,
    });
    for key in keys.clone() {
        assert!(!cache.keep(Some(key), &pixels));
    }
    assert_eq!(work.files().len(), 2);
    let places = keys.map(|key| cache.find(key).unwrap().0);
    let mapped =
        places.filter(|pixels| matches!(pixels, Pixels::Mapped { .. }) && pixels[..] == [7; BYTES]);
    assert_eq!(mapped.count(), 2 * GATHERED.div_ceil(BYTES));
}

#[test]
fn a_changed_file_another_box_and_another_side_are_decoded_anew() {
    let work = Work::new(4);
    drop((work.pass(&work.open(100)), work.open(100)));
    work.draw(2, 2);
    // The same bytes with another time count as another file.
    let touched = std::fs::File::options()
        .append(true)
        .open(&work.pictures[3])
        .unwrap();
    touched
        .set_modified(SystemTime::now() - Duration::from_secs(5))
        .unwrap();
    let cache = work.open(100);
    assert_eq!(work.pass(&cache), [true, true, false, false]);
    let identity = cache
        .claim(&work.pictures[0], Some([0.0, 0.0, 5.0, 5.0]), SIDE)
        .unwrap();
    assert!(
        cache
            .find(Key::now(identity, &work.pictures[0]).unwrap())
            .is_none()
    );
    assert!(cache.claim(&work.pictures[0], None, SIDE + 1).is_none());
    drop(cache);
    assert_eq!(
        work.pass(&work.open(100)),
        [true; 4],
        "what was decoded anew is kept"
    );
    let other = Cache::open(&work.cache_folder(), SIDE + 1, 1 << 20).unwrap();
    let identity = other.claim(&work.pictures[0], None, SIDE + 1).unwrap();
    assert!(
        other
            .find(Key::now(identity, &work.pictures[0]).unwrap())
            .is_none()
    );
}

#[test]
fn a_truncated_or_damaged_file_is_never_read_and_is_replaced() {
    let work = Work::new(5);
    work.pass(&work.open(100));
    let file = work.files().remove(0);
    let whole = std::fs::read(&file).unwrap();
    // What a kill in the middle of writing would leave, had the file its name already.
    for len in [
        0,
        5,
        8,
        40,
        64,
        100,
        64 + 5 * 32,
        whole.len() - BYTES,
        whole.len() - 1,
        whole.len() + 1,
    ] {
        let mut part = whole.clone();
        part.resize(len, 0);
        std::fs::write(&file, &part).unwrap();
        assert_eq!(work.pass(&work.open(100)), [false; 5], "{len} bytes");
        assert_eq!(
            work.pass(&work.open(100)),
            [true; 5],
            "rebuilt after {len} bytes"
        );
        assert!(std::fs::read(&file).unwrap() == whole);
    }
    // A changed bit of the header or the index loses the file, one of the pixels loses their picture.
    for (at, found) in [
        (3, [false; 5]),
        (9, [false; 5]),
        (70, [false; 5]),
        (
            64 + 5 * 32 + 2 * BYTES + 77,
            [true, true, false, true, true],
        ),
    ] {
        work.files()
            .iter()
            .for_each(|file| std::fs::remove_file(file).unwrap());
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::write(&file, &damaged).unwrap();
        assert_eq!(work.pass(&work.open(100)), found, "byte {at}");
        assert_eq!(
            work.pass(&work.open(100)),
            [true; 5],
            "rebuilt after byte {at}"
        );
    }
}

#[test]
fn files_of_others_and_those_being_written_stay() {
    let work = Work::new(3);
    std::fs::create_dir_all(work.cache_folder()).unwrap();
    let put = |name: &str| {
        let path = work.cache_folder().join(name);
        std::fs::write(&path, "someone else's").unwrap();
        path
    };
    let [foreign, notes, fresh, old] =
        ["8-0.pictures", "notes.txt", "a.writing", "b.writing"].map(put);
    let long_ago = SystemTime::now() - Duration::from_secs(86_400);
    for path in [&old, &foreign] {
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    // Too small for a picture: everything of ours would have to go.
    work.pass(&work.open(0));
    assert!(foreign.exists() && notes.exists() && fresh.exists());
    assert!(
        !old.exists(),
        "a killed run's file is removed after an hour"
    );
    work.pass(&work.open(100));
    assert_eq!(work.pass(&work.open(100)), [true; 3]);
    assert!(foreign.exists() && notes.exists() && fresh.exists());
}

#[test]
fn the_folder_stays_within_its_bound_and_the_longest_unused_make_room() {
    let bytes = |work: &Work| -> u64 {
        let files = work.files();
        files
            .iter()
            .map(|file| file.metadata().unwrap().len())
            .sum()
    };
    let (old, new) = (Work::new(4), Work::new(4));
    old.pass(&old.open(6));
    for file in old.files() {
        let file = std::fs::File::options().append(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60))
            .unwrap();
    }
    // Another database with the same folder: the first one's file goes, since nobody here has its pictures.
    let cache = old.open(6);
    assert_eq!(new.pass(&cache), [false; 4]);
    drop(cache);
    assert!(bytes(&old) <= segment::len(SIDE, 6), "{}", bytes(&old));
    assert_eq!(new.pass(&old.open(6)), [true; 4]);
    // Used by this process, it stays, and what has no room is decoded each time.
    let cache = old.open(6);
    new.pass(&cache);
    let passes = [old.pass(&cache), old.pass(&cache)];
    assert!(
        passes.iter().flatten().filter(|found| **found).count() <= 2,
        "{passes:?}"
    );
    drop(cache);
    assert_eq!(new.pass(&old.open(6)), [true; 4]);
    // A smaller bound holds from the start.
    drop(old.open(1));
    assert!(bytes(&old) <= segment::len(SIDE, 1));
}

#[test]
fn runs_beside_each_other_keep_their_own_and_find_both() {
    let work = Work::new(6);
    let more = Work::new(3);
    let (a, b) = (work.open(100), work.open(100));
    std::thread::scope(|scope| {
        scope.spawn(|| work.pass(&a));
        scope.spawn(|| (work.pass(&b), more.pass(&b)));
    });
    drop(a);
    assert_eq!(work.pass(&b), [true; 6]);
    drop(b);
    let cache = work.open(100);
    assert_eq!(
        (work.pass(&cache), more.pass(&cache)),
        (vec![true; 6], vec![true; 3])
    );
    // A file that another run removes stays readable for this one.
    if cfg!(unix) {
        work.files()
            .iter()
            .for_each(|file| std::fs::remove_file(file).unwrap());
        assert_eq!(work.pass(&cache), [true; 6]);
    }
}

#[test]
fn a_folder_that_cannot_be_written_leaves_pictures_in_memory_and_says_so_once() {
    let work = Work::new(4);
    let cache = work.open(100);
    work.pass(&cache);
    std::fs::remove_dir(work.cache_folder()).unwrap();
    let (folder, side) = cache.0.folder.clone().unwrap();
    let pictures = std::mem::take(&mut cache.0.state().gathered);
    cache.0.write(&folder, side, &pictures);
    assert_eq!(work.pass(&cache), [true; 4]);
    let told = cache.trouble().unwrap();
    assert!(
        told.contains("cache: the folder of decoded images"),
        "{told}"
    );
    assert_eq!(cache.trouble(), None);
    // From now on as in memory: whoever decodes it holds on to it.
    assert!(cache.keep(None, &vec![0; BYTES].into()));
    let file = work.folder.path().join("0.png");
    assert!(matches!(
        Cache::open(&file, SIDE, 1),
        Err(DataError::Cache { .. })
    ));
}
