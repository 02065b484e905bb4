//! `cargo xtask prices`: the price table that is built into the gateway, made from LiteLLM's published one.
//!
//! Reads the wheel of the PyPI package `litellm` (a zip file; its name says the version) or the JSON file itself.

use anyhow::{Context, Result, bail, ensure};
use gateway::{PriceTable, TABLE_VERSION};
use std::{fs, io::Read, path::Path};

/// The table in the wheel.
const MEMBER: &str = "litellm/model_prices_and_context_window_backup.json";
/// The largest table that is read, in bytes.
const MEMBER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Makes the built-in table from a wheel, or from the JSON file with its version said.
pub fn write(root: &Path, from: &Path, version: Option<&str>) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let is_wheel = from.extension().is_some_and(|end| end == "whl");
    let json = if is_wheel { member(&bytes, MEMBER)? } else { bytes };
    let version = match version {
        Some(version) => version.to_owned(),
        None => version_of(from).context("the file's name does not say the version; add it: --version V")?,
    };
    let table = PriceTable::from_litellm(&json, &version).with_context(|| from.display().to_string())?;
    fs::write(built_in(root), table.pack()?)?;
    println!(
        "{}: {} models, made from a file with the SHA-256 {}",
        table.version(),
        table.models().count(),
        table.sha256()
    );
    if table.version() != TABLE_VERSION {
        println!("Set TABLE_VERSION in crates/tariff/src/price.rs and the table in crates/tariff/data/README.md.");
    }
    Ok(())
}

/// Whether the built-in table is one, is packed as [`write`] packs it, and is the one that the program and its notes tell of.
pub fn check(root: &Path) -> Result<bool> {
    let packed = fs::read(built_in(root))?;
    let table = PriceTable::unpack(&packed)?;
    let notes = fs::read_to_string(root.join("crates/tariff/data/README.md"))?;
    let mut wrong = Vec::new();
    if table.version() != TABLE_VERSION {
        wrong.push(format!("it is {}, and TABLE_VERSION says {TABLE_VERSION}", table.version()));
    }
    if table.pack()? != packed {
        wrong.push("it was not made by `cargo xtask prices --from`".to_owned());
    }
    for told in [table.version().replace("litellm ", "`litellm` "), table.sha256().to_owned()] {
        if !notes.contains(&told) {
            wrong.push(format!("crates/tariff/data/README.md does not tell of {told}"));
        }
    }
    wrong.iter().for_each(|wrong| println!("crates/tariff/data/prices.json.gz: {wrong}"));
    Ok(wrong.is_empty())
}

fn built_in(root: &Path) -> std::path::PathBuf {
    root.join("crates/tariff/data/prices.json.gz")
}

/// `litellm-1.109.1-cp310-….whl` says 1.109.1.
fn version_of(wheel: &Path) -> Option<String> {
    let name = wheel.file_name()?.to_str()?.strip_suffix(".whl")?;
    name.split('-').nth(1).map(str::to_owned)
}

/// A file in a zip archive, found by the archive's directory at its end (APPNOTE.TXT 4.3.7, 4.3.12 and 4.3.16).
fn member(zip: &[u8], wanted: &str) -> Result<Vec<u8>> {
    let end = zip.windows(4).rposition(|part| part == b"PK\x05\x06").context("this is not a zip archive")?;
    let (count, mut at) = (number(zip, end + 10, 2)?, number(zip, end + 16, 4)?);
    for _ in 0..count {
        ensure!(zip.get(at..at + 4) == Some(b"PK\x01\x02"), "the archive's directory is damaged");
        let (name_bytes, extra, comment) =
            (number(zip, at + 28, 2)?, number(zip, at + 30, 2)?, number(zip, at + 32, 2)?);
        let name = zip.get(at + 46..at + 46 + name_bytes).context("the archive's directory is cut off")?;
        if name == wanted.as_bytes() {
            return unpack(zip, number(zip, at + 42, 4)?, number(zip, at + 10, 2)?, number(zip, at + 20, 4)?);
        }
        at += 46 + name_bytes + extra + comment;
    }
    bail!("there is no {wanted} in it")
}

fn unpack(zip: &[u8], header: usize, method: usize, packed_bytes: usize) -> Result<Vec<u8>> {
    let start = header + 30 + number(zip, header + 26, 2)? + number(zip, header + 28, 2)?;
    let packed = zip.get(start..start + packed_bytes).context("the archive is cut off")?;
    match method {
        0 => Ok(packed.to_vec()),
        8 => {
            let mut bytes = Vec::new();
            flate2::read::DeflateDecoder::new(packed).take(MEMBER_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        other => bail!("it is packed in a way (number {other}) that is not known here"),
    }
}

/// A little-endian number of so many bytes.
fn number(zip: &[u8], at: usize, bytes: usize) -> Result<usize> {
    let part = zip.get(at..at + bytes).context("the archive is cut off")?;
    Ok(part.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_member_is_found() {
        let (name, text) = ("a/b.json", "{}");
        let mut zip = b"PK\x03\x04".to_vec();
        zip.extend([0; 22]);
        zip.extend([8, 0, 0, 0]);
        zip.extend(name.bytes().chain(text.bytes()));
        let directory = zip.len() as u32;
        let mut entry = b"PK\x01\x02".to_vec();
        entry.extend([0; 16]);
        entry.extend([2, 0, 0, 0, 2, 0, 0, 0, 8, 0]);
        entry.extend([0; 16]);
        zip.extend(entry);
        zip.extend(name.bytes());
        zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\0\0\0\0");
        zip.extend(directory.to_le_bytes());
        zip.extend([0, 0]);
        assert_eq!(member(&zip, name).unwrap(), text.as_bytes());
        assert!(member(&zip, "another").unwrap_err().to_string().contains("another"));
        assert!(member(&zip[..20], name).is_err());
    }

    #[test]
    fn a_wheel_says_its_version() {
        assert_eq!(version_of(Path::new("/a/litellm-1.109.1-cp310-abi3.whl")).as_deref(), Some("1.109.1"));
        assert_eq!(version_of(Path::new("prices.json")), None);
    }
}
