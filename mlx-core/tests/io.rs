// SPDX-License-Identifier: EUPL-1.2
//! Safetensors: what goes out comes back, and what is wrong is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlx_core::io::{SafetensorsFile, load_safetensors, load_sharded, save_safetensors};
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
