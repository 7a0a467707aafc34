//! Writes GGUF 3, little-endian: metadata and tensor list first, then the tensors' bytes as a callback hands them over,
//! so that a model larger than memory can be written.

use super::metadata::Metadata;
use super::value::ValueType;
use resident_tensor::{DType, SizeError};
use std::io::{self, Write};

/// The tensors' data begin, and each tensor begins, at a multiple of this.
const ALIGNMENT: u64 = 32;

/// A metadata value as it stands in a file: type, then payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Vec<u8>);

impl Encoded {
    fn scalar(value_type: ValueType, payload: &[u8]) -> Self {
        Self([&(value_type as u32).to_le_bytes(), payload].concat())
    }

    fn array<T>(element: ValueType, items: &[T], payload: impl Fn(&T) -> Vec<u8>) -> Self {
        let mut bytes = Vec::new();
        bytes.extend((ValueType::Array as u32).to_le_bytes());
        bytes.extend((element as u32).to_le_bytes());
        bytes.extend((items.len() as u64).to_le_bytes());
        items.iter().for_each(|item| bytes.extend(payload(item)));
        Self(bytes)
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

macro_rules! encoded_from {
    ($($type:ty, $value:ident => $encoded:expr;)*) => {$(
        impl From<$type> for Encoded {
            fn from($value: $type) -> Self {
                $encoded
            }
        }
    )*};
}

encoded_from! {
    u32, value => Self::scalar(ValueType::U32, &value.to_le_bytes());
    u64, value => Self::scalar(ValueType::U64, &value.to_le_bytes());
    i32, value => Self::scalar(ValueType::I32, &value.to_le_bytes());
    f32, value => Self::scalar(ValueType::F32, &value.to_le_bytes());
    bool, value => Self::scalar(ValueType::Bool, &[value.into()]);
    &str, value => Self::scalar(ValueType::String, &text(value));
    &[&str], value => Self::array(ValueType::String, value, |item| text(item));
    &[String], value => Self::array(ValueType::String, value, |item| text(item));
    &[f32], value => Self::array(ValueType::F32, value, |item| item.to_le_bytes().to_vec());
    &[i32], value => Self::array(ValueType::I32, value, |item| item.to_le_bytes().to_vec());
    &[u32], value => Self::array(ValueType::U32, value, |item| item.to_le_bytes().to_vec());
    &[bool], value => Self::array(ValueType::Bool, value, |item| vec![u8::from(*item)]);
}

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, row-major: a projection is `[out, in]`.
    pub shape: Vec<u64>,
    /// Bytes of its data.
    pub bytes: u64,
}

/// A GGUF file in the making.
///
/// ```ignore
/// let mut file = GgufWriter::default();
/// file.set("general.architecture", "qwen3");
/// file.tensor("token_embd.weight", DType::Q8_0, &[151936, 1024])?;
/// file.write(&mut out, &mut |tensor, out| out.write_all(&bytes_of(&tensor.name)))?;
/// ```
#[derive(Clone, Debug, Default)]
pub struct GgufWriter {
    entries: Vec<(String, Encoded)>,
    tensors: Vec<TensorInfo>,
}

impl GgufWriter {
    /// Gives a key a value, in the place of the one it has.
    pub fn set(&mut self, key: &str, value: impl Into<Encoded>) {
        let value = value.into();
        match self.entries.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key.to_owned(), value)),
        }
    }

    /// Copies the keys of another file for which `wanted` holds, byte for byte.
    pub fn copy(&mut self, metadata: Metadata<'_>, wanted: impl Fn(&str) -> bool) {
        for (key, bytes) in metadata.encoded().filter(|(key, _)| wanted(key)) {
            self.set(key, Encoded(bytes.to_vec()));
        }
    }

    /// Adds a tensor; the data come in this order.
    ///
    /// # Errors
    /// A shape that has no size in this type.
    pub fn tensor(&mut self, name: &str, dtype: DType, shape: &[u64]) -> Result<(), SizeError> {
        let bytes = dtype.tensor_bytes(shape)?;
        self.tensors.push(TensorInfo { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes });
        Ok(())
    }

    /// The tensors in their order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        let data: u64 = self.tensors.iter().map(|tensor| tensor.bytes.next_multiple_of(ALIGNMENT)).sum();
        self.front().len() as u64 + data
    }

    /// Writes the file. `data` writes exactly the bytes of the tensor that it is given.
    ///
    /// # Errors
    /// Those of `out` and `data`, and data of another length than announced.
    pub fn write(
        &self,
        out: &mut dyn Write,
        data: &mut dyn FnMut(&TensorInfo, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        out.write_all(&self.front())?;
        for tensor in &self.tensors {
            let mut counted = Counted { out, bytes: 0 };
            data(tensor, &mut counted)?;
            if counted.bytes != tensor.bytes {
                let (name, bytes) = (&tensor.name, tensor.bytes);
                let problem = format!("{name}: {} bytes were written, expected {bytes}", counted.bytes);
                return Err(io::Error::other(problem));
            }
            write_padding(out, tensor.bytes)?;
        }
        out.flush()
    }

    /// Everything before the data, padded to where they begin.
    fn front(&self) -> Vec<u8> {
        let mut front = b"GGUF".to_vec();
        front.extend(3u32.to_le_bytes());
        front.extend((self.tensors.len() as u64).to_le_bytes());
        front.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            front.extend(text(key));
            front.extend(&value.0);
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            front.extend(text(&tensor.name));
            front.extend((tensor.shape.len() as u32).to_le_bytes());
            // The file counts the row's elements first.
            tensor.shape.iter().rev().for_each(|dim| front.extend(dim.to_le_bytes()));
            front.extend(tensor.dtype.ggml_type().to_le_bytes());
            front.extend(offset.to_le_bytes());
            offset += tensor.bytes.next_multiple_of(ALIGNMENT);
        }
        front.resize(front.len().next_multiple_of(ALIGNMENT as usize), 0);
        front
    }
}

fn write_padding(out: &mut dyn Write, written: u64) -> io::Result<()> {
    let padding = written.next_multiple_of(ALIGNMENT) - written;
    out.write_all(&[0; ALIGNMENT as usize][..padding as usize])
}

/// Counts what goes through it.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buffer)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::gguf::{Directory, Value};

    fn sample() -> GgufWriter {
        let mut file = GgufWriter::default();
        file.set("general.architecture", "llama");
        file.set("count", 1u32);
        file.set("count", 7u32);
        file.set("texts", &["a", "", "ccc"][..]);
        file.set("floats", &[0.5f32, -2.0][..]);
        file.set("flag", true);
        file.tensor("a", DType::Q8_0, &[3, 32]).unwrap();
        file.tensor("b", DType::F32, &[5]).unwrap();
        file
    }

    fn bytes_of(file: &GgufWriter) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.write(&mut bytes, &mut |tensor, out| {
            out.write_all(&vec![tensor.name.as_bytes()[0]; tensor.bytes as usize])
        })
        .unwrap();
        bytes
    }

    #[test]
    fn the_reader_finds_what_was_written() {
        let bytes = bytes_of(&sample());
        assert_eq!(bytes.len() as u64, sample().file_bytes());
        let directory = Directory::parse("test.gguf", &bytes).unwrap();
        let metadata = directory.metadata(&bytes);
        assert_eq!(metadata.iter().len(), 5);
        assert_eq!(metadata.require::<u32>("count").unwrap(), 7);
        assert_eq!(metadata.require::<Vec<&str>>("texts").unwrap(), ["a", "", "ccc"]);
        assert_eq!(metadata.require::<Vec<f32>>("floats").unwrap(), [0.5, -2.0]);
        assert!(metadata.iter().any(|(key, value)| key == "flag" && value == Value::Bool(true)));
        let [a, b] = &directory.tensors[..] else { panic!("two tensors") };
        assert_eq!((a.dtype, &a.shape[..]), (DType::Q8_0, &[3, 32][..]));
        assert_eq!((b.dtype, &b.shape[..]), (DType::F32, &[5][..]));
        assert!(bytes[a.range.clone()].iter().all(|byte| *byte == b'a'));
        assert!(bytes[b.range.clone()].iter().all(|byte| *byte == b'b'));
    }

    #[test]
    fn copied_keys_keep_their_bytes() {
        let bytes = bytes_of(&sample());
        let directory = Directory::parse("test.gguf", &bytes).unwrap();
        let mut copy = GgufWriter::default();
        copy.copy(directory.metadata(&bytes), |key| key != "flag");
        let expected: Vec<_> = sample().entries.into_iter().filter(|(key, _)| key != "flag").collect();
        assert_eq!(copy.entries.len(), expected.len());
        assert!(expected.iter().all(|entry| copy.entries.contains(entry)));
    }

    #[test]
    fn data_of_another_length_are_refused() {
        let error = sample().write(&mut Vec::new(), &mut |_, out| out.write_all(&[0; 9])).unwrap_err();
        assert_eq!(error.to_string(), "a: 9 bytes were written, expected 102");
    }
}
