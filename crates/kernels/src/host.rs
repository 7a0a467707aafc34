//! Host memory that holds a program's buffers, for the CPU device and the reference tests.
//! Every buffer has its own lock, so a kernel may read some while it writes others; a kernel that binds one buffer twice
//! must bind it read-only or once as read-write.

use crate::{BufferId, Slice};
use bytemuck::Pod;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One word of storage; its alignment lets every buffer be seen as any plain type.
type Word = u128;

/// The buffers of a program, by [`BufferId`].
#[derive(Default)]
pub struct HostMemory {
    places: Vec<RwLock<Vec<Word>>>,
    /// The place of each buffer.
    place_of: Vec<usize>,
}

impl HostMemory {
    /// No buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a zeroed buffer of `bytes`.
    pub fn add(&mut self, bytes: u64) -> BufferId {
        let words =
            usize::try_from(bytes).expect("buffer fits the address space").div_ceil(size_of::<Word>());
        self.places.push(RwLock::new(vec![0; words]));
        self.place_of.push(self.places.len() - 1);
        BufferId((self.place_of.len() - 1) as u32)
    }

    /// Adds a buffer in the memory of another one, which is as large and never in use at the same time.
    pub fn add_in_place_of(&mut self, other: BufferId) -> BufferId {
        self.place_of.push(self.place_of[other.0 as usize]);
        BufferId((self.place_of.len() - 1) as u32)
    }

    fn place(&self, buffer: BufferId) -> &RwLock<Vec<Word>> {
        &self.places[self.place_of[buffer.0 as usize]]
    }

    /// Adds a buffer that holds `values`, and returns all of it.
    pub fn add_values<T: Pod>(&mut self, values: &[T]) -> Slice {
        let bytes = size_of_val(values) as u64;
        let slice = Slice { buffer: self.add(bytes), offset_bytes: 0, bytes };
        self.write::<T>(slice).copy_from_slice(values);
        slice
    }

    /// The values of a slice.
    ///
    /// # Panics
    /// If a kernel holds the buffer for writing, or the slice is no whole number of aligned `T`.
    pub fn read<T: Pod>(&self, slice: Slice) -> ReadGuard<'_, T> {
        let guard = self.place(slice.buffer).try_read().expect("buffer is bound for writing as well");
        ReadGuard { guard, slice, values: PhantomData }
    }

    /// The values of a slice, to be changed.
    ///
    /// # Panics
    /// If a kernel holds the buffer, or the slice is no whole number of aligned `T`.
    pub fn write<T: Pod>(&self, slice: Slice) -> WriteGuard<'_, T> {
        let guard = self.place(slice.buffer).try_write().expect("buffer is bound twice, once for writing");
        WriteGuard { guard, slice, values: PhantomData }
    }
}

fn range(slice: Slice) -> std::ops::Range<usize> {
    slice.offset_bytes as usize..(slice.offset_bytes + slice.bytes) as usize
}

/// Shared access to a slice's values.
pub struct ReadGuard<'a, T> {
    guard: RwLockReadGuard<'a, Vec<Word>>,
    slice: Slice,
    values: PhantomData<T>,
}

impl<T: Pod> Deref for ReadGuard<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&bytemuck::cast_slice::<Word, u8>(&self.guard)[range(self.slice)])
    }
}

/// Exclusive access to a slice's values.
pub struct WriteGuard<'a, T> {
    guard: RwLockWriteGuard<'a, Vec<Word>>,
    slice: Slice,
    values: PhantomData<T>,
}

impl<T: Pod> Deref for WriteGuard<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&bytemuck::cast_slice::<Word, u8>(&self.guard)[range(self.slice)])
    }
}

impl<T: Pod> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(
            &mut bytemuck::cast_slice_mut::<Word, u8>(&mut self.guard)[range(self.slice)],
        )
    }
}
