// SPDX-License-Identifier: EUPL-1.2
//! Files and streams: what goes out comes back, and what is wrong is named.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use mlx_core::io::{
    Compression, SafetensorsFile, load_npy, load_npz, load_safetensors, load_sharded, read_npy, read_npz,
    read_safetensors, save_npy, save_npz, save_safetensors, write_npy, write_npz, write_safetensors,
};
use mlx_core::{Array, Dtype, Error, Result};

/// A file with the given header and as many zero bytes of data.
fn write_raw(path: &Path, header: &str, data: usize) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_dtype_survives_the_disk() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.safetensors");
    let arrays: Vec<(&str, Array)> = Dtype::ALL
        .into_iter()
        .map(|dtype| {
            let bytes: Vec<u8> =
                (0..6 * dtype.size()).map(|i| if dtype == Dtype::Bool { 1 } else { i as u8 }).collect();
            (dtype.name(), Array::from_bytes(&bytes, &[2, 3], dtype).unwrap())
        })
        .collect();
    let metadata = BTreeMap::from([("format".to_owned(), "mlx".to_owned())]);
    save_safetensors(&path, arrays.iter().map(|(name, array)| (*name, array)), &metadata)?;
    let back = load_safetensors(&path)?;
    assert_eq!(back.metadata, metadata);
    assert_eq!(back.tensors.len(), arrays.len());
    for (name, array) in &arrays {
        let read = &back.tensors[*name];
        assert_eq!((read.shape(), read.dtype()), (array.shape(), array.dtype()), "{name}");
        assert_eq!(read.with_bytes(<[u8]>::to_vec)?, array.with_bytes(<[u8]>::to_vec)?, "{name}");
    }
    Ok(())
}

#[test]
fn strided_empty_and_scalar_arrays_are_saved_in_row_major_order() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("%s%n %d.safetensors");
    let matrix = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?.transpose()?;
    let empty = Array::from_slice::<u8>(&[], &[0, 4])?;
    let scalar = Array::scalar(true)?;
    let named = [("a.%s%n", &matrix), ("b", &empty), ("c", &scalar)];
    save_safetensors(&path, named, &BTreeMap::new())?;
    let back = load_safetensors(&path)?.tensors;
    assert_eq!(back["a.%s%n"].to_vec::<f32>()?, [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(back["b"].shape(), [0, 4]);
    assert!(back["c"].item::<bool>()?);
    Ok(())
}

#[test]
fn large_tensors_survive_the_release_of_their_pages() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.safetensors");
    let data: Vec<u32> = (0..1_500_001).collect();
    let a = Array::from_slice(&data, &[1_500_001])?;
    save_safetensors(&path, [("a", &a), ("b", &a)], &BTreeMap::new())?;
    let file = SafetensorsFile::open(&path)?;
    for name in ["b", "a", "b"] {
        assert_eq!(file.tensor(name)?.to_vec::<u32>()?, data);
    }
    Ok(())
}

#[test]
fn tensors_at_odd_offsets_are_read() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.safetensors");
    write_raw(
        &path,
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}"#,
        9,
    );
    assert_eq!(load_safetensors(&path)?.tensors["b"].to_vec::<f32>()?, [0.0, 0.0]);
    Ok(())
}

#[test]
fn hostile_files_are_errors_that_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.safetensors");
    let huge = i32::MAX as usize + 1;
    let headers = [
        ("{", 0),
        ("[]", 0),
        ("null", 0),
        (r#"{"a":1}"#, 0),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4),
        (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4),
        (r#"{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}}"#, 4),
        (r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,4]}}"#, 4),
        (
            r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#,
            6,
        ),
    ];
    for (header, data) in headers {
        write_raw(&path, header, data);
        let error = load_safetensors(&path).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{header}: {error}");
        assert!(error.to_string().contains("hostile.safetensors"), "{error}");
    }
    for (header, data, expected) in [
        (r#"{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}"#.to_owned(), 4, "F8_E4M3"),
        (format!(r#"{{"a":{{"dtype":"U8","shape":[0,{huge}],"data_offsets":[0,0]}}}}"#), 0, "longer than"),
    ] {
        write_raw(&path, &header, data);
        let error = load_safetensors(&path).unwrap_err();
        assert!(matches!(error, Error::Tensor { .. }), "{error}");
        assert!(error.to_string().contains(expected) && error.to_string().contains("\"a\""), "{error}");
    }
    for bytes in [&[][..], &[1, 2, 3], &[255; 8], &[255; 100], &[0; 8], &[8, 0, 0, 0, 0, 0, 0, 0, b'{']] {
        fs::write(&path, bytes).unwrap();
        assert!(matches!(load_safetensors(&path).unwrap_err(), Error::File { .. }), "{bytes:?}");
    }
}

#[test]
fn truncation_at_any_byte_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.safetensors");
    let a = Array::from_slice(&[1.0f32; 8], &[8]).unwrap();
    save_safetensors(&path, [("a", &a)], &BTreeMap::new()).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(load_safetensors(&path).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn file_that_shrinks_after_it_was_opened_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shrinks.safetensors");
    let a = Array::from_slice(&[1.0f32; 100_000], &[100_000]).unwrap();
    save_safetensors(&path, [("a", &a)], &BTreeMap::new()).unwrap();
    let file = SafetensorsFile::open(&path).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    assert!(file.tensor("a").unwrap_err().to_string().contains("shorter"));
}

#[test]
fn missing_files_and_folders_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    for error in [load_safetensors(&absent).unwrap_err(), load_sharded(&absent, |_, _| ()).unwrap_err()] {
        assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("absent"), "{error}");
    }
    assert!(load_safetensors(dir.path()).unwrap_err().to_string().contains("not a regular file"));
    assert!(load_sharded(dir.path(), |_, _| ()).unwrap_err().to_string().contains("no weights"));
}

#[test]
fn shards_are_found_by_index_or_by_name() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Array::scalar(1i32)?, Array::scalar(2i32)?);
    let none = BTreeMap::new();
    save_safetensors(dir.path().join("model-1.safetensors"), [("one", &one)], &none)?;
    save_safetensors(dir.path().join("model-2.safetensors"), [("two", &two)], &none)?;
    save_safetensors(dir.path().join("adapters.safetensors"), [("three", &two)], &none)?;
    let mut seen = Vec::new();
    let by_name = load_sharded(dir.path(), |done, total| seen.push((done, total)))?.tensors;
    assert_eq!(by_name.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(seen, [(4, 8), (8, 8)]);

    let index = dir.path().join("model.safetensors.index.json");
    fs::write(&index, r#"{"weight_map":{"two":"model-2.safetensors"}}"#).unwrap();
    assert_eq!(load_sharded(dir.path(), |_, _| ())?.tensors.keys().collect::<Vec<_>>(), ["two"]);

    for (bad, expected) in [
        ("{", "JSON"),
        ("{}", "weight_map"),
        (r#"{"weight_map":{}}"#, "names no weights"),
        (r#"{"weight_map":{"one":3}}"#, "\"one\""),
        (r#"{"weight_map":{"one":"model-9.safetensors"}}"#, "missing"),
        (r#"{"weight_map":{"one":"../model-1.safetensors"}}"#, "plain file name"),
        (r#"{"weight_map":{"one":"/etc/passwd"}}"#, "plain file name"),
        (r#"{"weight_map":{"one":"model-2.safetensors","two":"model-1.safetensors"}}"#, "is not in"),
    ] {
        fs::write(&index, bad).unwrap();
        let error = load_sharded(dir.path(), |_, _| ()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("index.json"), "{bad}: {error}");
    }

    fs::remove_file(&index).unwrap();
    save_safetensors(dir.path().join("model-3.safetensors"), [("one", &one)], &none)?;
    assert!(load_sharded(dir.path(), |_, _| ()).unwrap_err().to_string().contains("another shard"));
    Ok(())
}

#[test]
fn saving_fails_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kept.safetensors");
    let a = Array::scalar(1.0f32).unwrap();
    save_safetensors(&path, [("a", &a)], &BTreeMap::new()).unwrap();
    let before = fs::read(&path).unwrap();
    for names in [["a", "a"], ["a", "__metadata__"]] {
        assert!(save_safetensors(&path, names.map(|name| (name, &a)), &BTreeMap::new()).is_err());
    }
    let refused = mlx_core::io::atomically(&path, |file| {
        use std::io::Write;
        file.write_all(b"half").unwrap();
        Err(Error::Io { path: file.path().to_path_buf(), source: std::io::Error::other("full") })
    });
    assert!(refused.unwrap_err().to_string().contains("kept.safetensors: full"));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a temporary file was left behind");
    let nowhere = dir.path().join("no/such/folder/x.safetensors");
    assert!(
        save_safetensors(&nowhere, [("a", &a)], &BTreeMap::new())
            .unwrap_err()
            .to_string()
            .contains("x.safetensors")
    );
    // A folder is never replaced by a file.
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    assert!(save_safetensors(&folder, [("a", &a)], &BTreeMap::new()).is_err());
    assert!(folder.is_dir());
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_an_error_and_the_device_stays_a_device() {
    use std::os::unix::fs::FileTypeExt;
    let a = Array::from_slice(&[1.0f32; 100_000], &[100_000]).unwrap();
    let error = save_safetensors("/dev/full", [("a", &a)], &BTreeMap::new()).unwrap_err();
    assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("/dev/full"), "{error}");
    assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
}

#[cfg(unix)]
#[test]
fn saving_keeps_links_and_the_usual_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target.safetensors"), dir.path().join("link.safetensors"));
    fs::write(&target, b"old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    save_safetensors(&link, [("a", &Array::scalar(1.0f32).unwrap())], &BTreeMap::new()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    assert!(load_safetensors(&target).is_ok());
    let (absent, dangling) = (dir.path().join("absent.safetensors"), dir.path().join("dangling.safetensors"));
    std::os::unix::fs::symlink("absent.safetensors", &dangling).unwrap();
    save_safetensors(&dangling, [("a", &Array::scalar(1.0f32).unwrap())], &BTreeMap::new()).unwrap();
    assert!(fs::symlink_metadata(&dangling).unwrap().file_type().is_symlink());
    assert!(load_safetensors(&absent).is_ok());
    let plain = dir.path().join("plain");
    fs::write(&plain, b"").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&target), mode(&plain));
}

fn npy_file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Refuses to be read beyond a point, and counts what it is asked for.
struct Endless {
    start: std::io::Cursor<Vec<u8>>,
    rest: u64,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.start.read(buffer)? {
            0 => {
                let n = buffer.len().min(usize::try_from(self.rest).unwrap());
                buffer[..n].fill(0);
                self.rest -= n as u64;
                Ok(n)
            }
            n => Ok(n),
        }
    }
}

impl Seek for Endless {
    /// Says that there is far more than can be read.
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match to {
            SeekFrom::Start(at) => self.start.seek(SeekFrom::Start(at)),
            SeekFrom::End(_) => Ok(1 << 40),
            SeekFrom::Current(by) => self.start.seek(SeekFrom::Current(by)),
        }
    }
}

#[test]
fn headers_that_claim_more_than_there_is_allocate_nothing() {
    // A terabyte is claimed: of what is really there the reader gets a few megabytes.
    let huge = 1u64 << 38;
    let shape = format!("({}, {})", 1 << 19, 1 << 19);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let bytes = npy_file(&header, &[0; 64]);
    let error = read_npy(bytes.as_slice()).unwrap_err();
    assert!(error.to_string().contains("memory limit"), "{error}");
    let small = npy_file("{'descr': '|u1', 'fortran_order': False, 'shape': (500000000,), }\n", &[]);
    let error = read_npy(Endless { start: Cursor::new(small), rest: 3 << 20 }).unwrap_err();
    assert!(error.to_string().contains("too early"), "{error}");

    let header = format!(r#"{{"a":{{"dtype":"U8","shape":[{huge}],"data_offsets":[0,{huge}]}}}}"#);
    for (claimed, expected) in
        [(u64::MAX, "header of"), (99_000_000, "ends after"), (header.len() as u64, "tensors take")]
    {
        let mut bytes = claimed.to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        let error = read_safetensors(Endless { start: Cursor::new(bytes), rest: 1 << 20 }).unwrap_err();
        assert!(
            error.to_string().starts_with("<reader>: ") && error.to_string().contains(expected),
            "{error}"
        );
    }
}

#[test]
fn npy_files_of_any_length_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.npy");
    let whole = Array::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
    save_npy(&path, &whole).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 128 + 12);
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = load_npy(&path).unwrap_err();
        assert!(error.to_string().contains("cut.npy"), "{error}");
        assert!(read_npy(&bytes[..length]).is_err());
    }
    // Any one byte may be another.
    for place in 0..128 {
        for byte in [0, b' ', b'9', b'\'', 0xff] {
            let mut other = bytes.clone();
            other[place] = byte;
            fs::write(&path, &other).unwrap();
            if let Ok(array) = load_npy(&path) {
                array.eval().unwrap();
            }
        }
    }
    assert!(load_npy(dir.path()).is_err() && load_npy(dir.path().join("absent.npy")).is_err());
}

#[test]
fn npy_shapes_that_no_array_has_are_refused() {
    for shape in [
        "(2147483648,)",
        "(0, 2147483648)",
        "(-1,)",
        "(2147483647, 2147483647, 2147483647)",
        "(65536, 65536, 0, 65536, 65536)",
    ] {
        let bytes =
            npy_file(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"), &[0; 16]);
        assert!(matches!(read_npy(bytes.as_slice()).unwrap_err(), Error::File { .. }), "{shape}");
    }
}

#[test]
fn large_npy_files_lie_where_they_are_mapped() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.npy");
    let data: Vec<u16> = (0..50_000).collect();
    save_npy(&path, &Array::from_slice(&data, &[500, 100])?)?;
    let (a, b) = (load_npy(&path)?, load_npy(&path)?);
    assert_eq!(a.shape(), [500, 100]);
    // Neither sees what becomes of the other, nor does the file.
    let result = (&b + &b)?;
    drop(b);
    result.eval()?;
    assert_eq!(a.as_slice::<u16>()?, data);
    assert_eq!(load_npy(&path)?.to_vec::<u16>()?, data);
    assert_eq!(read_npy(fs::File::open(&path).unwrap())?.to_vec::<u16>()?, data);
    Ok(())
}

#[test]
fn archives_that_are_not_in_order_are_refused() -> Result<()> {
    let (a, b) = (Array::from_slice(&[1.0f32; 100], &[100])?, Array::scalar(2i32)?);
    for compression in [Compression::None, Compression::Deflate] {
        let mut archive = Cursor::new(Vec::new());
        write_npz(&mut archive, [("first", &a), ("%s/..\u{e9}", &b)], compression)?;
        let bytes = archive.into_inner();
        let whole = read_npz(Cursor::new(&bytes))?;
        assert_eq!(whole.keys().collect::<Vec<_>>(), ["%s/..\u{e9}", "first"]);
        assert_eq!(whole["first"].to_vec::<f32>()?, [1.0; 100]);
        for length in 0..bytes.len() {
            assert!(read_npz(Cursor::new(&bytes[..length])).is_err(), "{length}");
        }
        // The checksum tells of a byte that is not what it was.
        let place = bytes.windows(4).position(|window| window == 1.0f32.to_ne_bytes());
        if let (Compression::None, Some(place)) = (compression, place) {
            let mut other = bytes.clone();
            other[place + 4] ^= 1;
            let error = read_npz(Cursor::new(other)).unwrap_err();
            assert!(matches!(&error, Error::Tensor { name, .. } if name.contains("first")), "{error}");
        }
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] = !other[place];
            if let Ok(all) = read_npz(Cursor::new(other)) {
                mlx_core::eval(all.values())?;
            }
        }
    }
    assert!(matches!(read_npz(Cursor::new(b"PK")).unwrap_err(), Error::File { .. } | Error::Io { .. }));
    let twice = [("a", &a), ("a", &b)];
    assert!(write_npz(Cursor::new(Vec::new()), twice, Compression::None).is_err());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npz");
    assert!(save_npz(&path, twice, Compression::None).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    save_npz(&path, [("a", &a)], Compression::Deflate)?;
    assert_eq!(load_npz(&path)?["a"].to_vec::<f32>()?, [1.0; 100]);
    fs::write(&path, b"no archive").unwrap();
    assert!(load_npz(&path).unwrap_err().to_string().contains("a.npz"));
    assert!(load_npz(dir.path().join("absent.npz")).is_err());
    Ok(())
}

#[test]
fn safetensors_travel_through_readers_and_writers() -> Result<()> {
    let (a, b) = (Array::from_slice(&[1.0f32; 5000], &[50, 100])?, Array::scalar(true)?);
    let note =
        BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("\u{e9}\n".to_owned(), String::new())]);
    let mut bytes = b"in front".to_vec();
    write_safetensors(&mut bytes, [("a", &a), ("b", &b)], &note)?;
    let mut reader = Cursor::new(&bytes);
    reader.set_position(8);
    let back = read_safetensors(&mut reader)?;
    assert_eq!((back.tensors["a"].shape(), &back.metadata), (&[50, 100][..], &note));
    assert_eq!(back.tensors["a"].as_slice::<f32>()?, [1.0; 5000]);
    assert!(back.tensors["b"].item::<bool>()?);
    for length in 8..bytes.len() {
        let mut reader = Cursor::new(&bytes[..length]);
        reader.set_position(8);
        assert!(read_safetensors(reader).is_err(), "{length}");
    }
    // The same file on the disk is the same.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    save_safetensors(&path, [("a", &a), ("b", &b)], &note)?;
    assert_eq!(fs::read(&path).unwrap(), bytes[8..]);
    assert!(write_safetensors(Vec::new(), [("a", &a), ("a", &b)], &note).is_err());
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for error in [write_safetensors(Full, [("a", &a)], &note).unwrap_err(), write_npy(Full, &a).unwrap_err()]
    {
        assert_eq!(error.to_string(), "<writer>: full");
    }
    Ok(())
}

#[test]
fn saved_npy_files_appear_whole_or_not_at_all() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kept.npy");
    save_npy(&path, &Array::scalar(1u8)?)?;
    let wrong = Array::from_slice(&[1.0f32; 6], &[2, 3])?;
    assert!(save_npy(dir.path().join("no/such/folder.npy"), &wrong).is_err());
    assert!(save_npy(dir.path(), &wrong).is_err());
    assert_eq!(load_npy(&path)?.item::<u8>()?, 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    #[cfg(target_os = "linux")]
    {
        let large = Array::zeros(&[1 << 20], Dtype::Float32)?;
        for error in [
            save_npy("/dev/full", &large).unwrap_err(),
            save_npz("/dev/full", [("a", &large)], Compression::None).unwrap_err(),
        ] {
            assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("/dev/full"), "{error}");
        }
    }
    Ok(())
}

/// Not run with the others: writes what `golden/check_io.py` reads, into the folder that the variable names.
#[test]
#[ignore = "needs MLX_CORE_IO_CHECK, a folder to write to"]
fn files_for_other_readers() -> Result<()> {
    let dir = std::path::PathBuf::from(std::env::var_os("MLX_CORE_IO_CHECK").unwrap());
    let base = Array::from_slice(&[0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0], &[2, 3])?;
    let arrays: Vec<(&str, Array)> = Dtype::ALL
        .into_iter()
        .map(|dtype| Ok((dtype.name(), base.astype(dtype)?.transpose()?)))
        .collect::<Result<_>>()?;
    let named = || arrays.iter().map(|(name, array)| (*name, array));
    for (name, array) in named() {
        save_npy(dir.join(format!("{name}.npy")), array)?;
    }
    save_npz(dir.join("stored.npz"), named(), Compression::None)?;
    save_npz(dir.join("deflated.npz"), named(), Compression::Deflate)?;
    let note = BTreeMap::from([("format".to_owned(), "mlx".to_owned())]);
    // MLX's own reader has no name for the last.
    let known = named().filter(|(name, _)| *name != "float64");
    save_safetensors(dir.join("all.safetensors"), known, &note)
}
