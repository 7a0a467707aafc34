//! The pipeline cache, kept on disk per device and driver. A file that is corrupt or of another driver is ignored:
//! drivers are not to be trusted with damaged data, so a checksum and the header are looked at here.

use crate::devices::DeviceInfo;
use crate::error::Error;
use crate::logical::Logical;
use ash::vk;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Begins every file, and names its layout: magic, length, checksum, then the driver's data.
const MAGIC: &[u8; 8] = b"RESPIPE1";
const HEADER_BYTES: usize = 24;
/// The header that the specification puts before the driver's own data.
const VULKAN_HEADER_BYTES: usize = 32;

/// What became of the pipeline cache on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheState {
    /// The file, where a folder was given.
    pub path: Option<PathBuf>,
    /// Bytes taken from it when the device was opened.
    pub loaded_bytes: u64,
    /// Bytes last written to it.
    pub saved_bytes: u64,
    /// Why it was ignored or could not be written.
    pub note: Option<String>,
}

/// The driver's cache and its file.
pub(crate) struct Cache {
    logical: Arc<Logical>,
    pub(crate) raw: vk::PipelineCache,
    state: Mutex<State>,
}

struct State {
    public: CacheState,
    /// Of the data that the file holds.
    on_disk: Option<u64>,
}

impl Cache {
    /// Makes the driver's cache, with what the file holds where it is whole and of this device.
    pub(crate) fn open(logical: Arc<Logical>, folder: Option<&Path>) -> Result<Self, Error> {
        let path = folder.map(|folder| folder.join(file_name(&logical.info)));
        let (data, note) = match path.as_deref().map(|path| load(path, &logical.info)) {
            None | Some(Ok(None)) => (Vec::new(), None),
            Some(Ok(Some(data))) => (data, None),
            Some(Err(reason)) => (Vec::new(), Some(format!("ignored: {reason}"))),
        };
        let info = vk::PipelineCacheCreateInfo::default().initial_data(&data);
        // SAFETY: the device lives; the data is empty or was made by this very driver, by header and checksum.
        let raw = unsafe { logical.raw.create_pipeline_cache(&info, None) }
            .map_err(|result| logical.fail("creating the pipeline cache", result))?;
        let on_disk = (!data.is_empty()).then(|| checksum(&data));
        let public = CacheState { path, loaded_bytes: data.len() as u64, saved_bytes: 0, note };
        Ok(Self { logical, raw, state: Mutex::new(State { public, on_disk }) })
    }

    pub(crate) fn state(&self) -> CacheState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).public.clone()
    }

    /// Writes the file, unless it holds the same data already. A reader sees the old file or the new one, never a part.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = state.public.path.clone() else { return Ok(()) };
        // SAFETY: the cache lives, and drivers synchronise it themselves.
        let data = unsafe { self.logical.raw.get_pipeline_cache_data(self.raw) }
            .map_err(|result| self.logical.fail("reading the pipeline cache", result))?;
        let sum = checksum(&data);
        if state.on_disk == Some(sum) {
            return Ok(());
        }
        match write(&path, &data, sum) {
            Ok(()) => {
                state.on_disk = Some(sum);
                state.public.saved_bytes = data.len() as u64;
                Ok(())
            }
            Err(error) => {
                state.public.note = Some(format!("not written: {error}"));
                Err(Error::Cache { path: path.display().to_string(), reason: error.to_string() })
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // A cache that cannot be written costs time at the next start, nothing else.
        let _ = self.save();
        // SAFETY: pipelines do not need the cache they were made with, and no creation is under way.
        unsafe { self.logical.raw.destroy_pipeline_cache(self.raw, None) };
    }
}

/// One file per device, driver version and cache format.
fn file_name(info: &DeviceInfo) -> String {
    let uuid: String = info.pipeline_cache_uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("pipelines-{:04x}-{:04x}-{:08x}-{uuid}.bin", info.vendor_id, info.device_id, info.driver_version)
}

/// The driver's data, `None` where there is no file, or why the file is of no use.
fn load(path: &Path, info: &DeviceInfo) -> Result<Option<Vec<u8>>, String> {
    let mut file = match fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    check(&file, info)?;
    file.drain(..HEADER_BYTES);
    Ok(Some(file))
}

/// Whether a file is whole and of this device and driver.
fn check(file: &[u8], info: &DeviceInfo) -> Result<(), String> {
    let header = file.first_chunk::<HEADER_BYTES>().ok_or("shorter than its header")?;
    if !header.starts_with(MAGIC) {
        return Err("not a pipeline cache of this program".to_owned());
    }
    let data = &file[HEADER_BYTES..];
    let (length, sum) = (u64_at(header, 8), u64_at(header, 16));
    if length != data.len() as u64 {
        return Err(format!("{} bytes of data, expected {length}", data.len()));
    }
    if sum != checksum(data) {
        return Err("its checksum is wrong".to_owned());
    }
    let vulkan = data.first_chunk::<VULKAN_HEADER_BYTES>().ok_or("shorter than Vulkan's header")?;
    let is_ours = u32_at(vulkan, 0) as usize >= VULKAN_HEADER_BYTES
        && u32_at(vulkan, 4) == 1
        && u32_at(vulkan, 8) == info.vendor_id
        && u32_at(vulkan, 12) == info.device_id
        && vulkan[16..] == info.pipeline_cache_uuid;
    match is_ours {
        true => Ok(()),
        false => Err("made by another device or driver".to_owned()),
    }
}

fn write(path: &Path, data: &[u8], sum: u64) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(MAGIC)?;
        file.write_all(&(data.len() as u64).to_le_bytes())?;
        file.write_all(&sum.to_le_bytes())?;
        file.write_all(data)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// FNV-1a, 64 bits: enough against a torn or flipped file.
fn checksum(data: &[u8]) -> u64 {
    data.iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> DeviceInfo {
        DeviceInfo {
            vendor_id: 0x10de,
            device_id: 0x2335,
            pipeline_cache_uuid: [7; 16],
            ..DeviceInfo::default()
        }
    }

    fn file(data: &[u8]) -> Vec<u8> {
        [MAGIC, &(data.len() as u64).to_le_bytes(), &checksum(data).to_le_bytes(), data].concat()
    }

    fn data(vendor: u32) -> Vec<u8> {
        let words = [32, 1, vendor, 0x2335].map(u32::to_le_bytes).concat();
        [&words[..], &[7; 16], b"driver's own"].concat()
    }

    #[test]
    fn a_whole_file_of_this_device_is_taken() {
        assert_eq!(check(&file(&data(0x10de)), &info()), Ok(()));
    }

    #[test]
    fn a_foreign_short_or_damaged_file_is_not() {
        let good = file(&data(0x10de));
        assert!(check(&file(&data(0x1002)), &info()).is_err_and(|why| why.contains("another device")));
        assert!(check(&file(b"short"), &info()).is_err_and(|why| why.contains("Vulkan's header")));
        assert!(check(b"something else, of a certain length", &info()).is_err());
        for length in 0..good.len() {
            assert!(check(&good[..length], &info()).is_err(), "cut to {length}");
        }
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 0x10;
            assert!(check(&damaged, &info()).is_err(), "damaged at {at}");
        }
    }
}
