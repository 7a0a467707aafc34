//! When something happens beside the steps: strides, and the steps that they name.

use crate::RolloutError;

/// Every how many steps something happens; 0 is never. A stride k names the steps k, 2k, 3k …
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strides {
    /// A hash of z.
    pub hash: u64,
    /// Statistics of z.
    pub stats: u64,
    /// How far the step moved z.
    pub defect: u64,
    /// z for the snapshot file.
    pub snapshot: u64,
    /// A field of z.
    pub decode: u64,
    /// The host is woken to say how far the run is.
    pub progress: u64,
}

/// Whether a stride names a step.
pub(crate) fn names(stride: u64, step: u64) -> bool {
    stride > 0 && step > 0 && step.is_multiple_of(stride)
}

impl Strides {
    /// By flag.
    pub fn all(&self) -> [(&'static str, u64); 6] {
        [
            ("hash", self.hash),
            ("stats", self.stats),
            ("defect", self.defect),
            ("snapshot", self.snapshot),
            ("decode", self.decode),
            ("progress", self.progress),
        ]
    }

    /// Refuses a run of no steps, and strides that it is too short for.
    ///
    /// # Errors
    /// The flag, what it is and what it could be.
    pub fn check(&self, steps: u64) -> Result<(), RolloutError> {
        if steps == 0 {
            return Err(RolloutError::Usage("--steps is 0, expected at least 1".to_owned()));
        }
        match self.all().into_iter().find(|(_, stride)| *stride > steps) {
            None => Ok(()),
            Some((name, stride)) => Err(RolloutError::Usage(format!(
                "--{name}-every is {stride}, more than the {steps} steps of the run; expected 1 to {steps}, or 0 for never"
            ))),
        }
    }

    /// The first step behind `step` at which something happens, at the latest `end`.
    pub(crate) fn next(&self, step: u64, end: u64) -> u64 {
        let strides = self.all().into_iter().filter(|(_, stride)| *stride > 0);
        strides.map(|(_, stride)| (step / stride + 1).saturating_mul(stride)).fold(end, u64::min)
    }

    /// Whether z is taken from where it lies at this step: by the host, or by the decoder.
    pub(crate) fn takes_state(&self, step: u64) -> bool {
        names(self.snapshot, step) || names(self.decode, step)
    }

    /// Whether the host is woken at this step.
    pub(crate) fn wakes_host(&self, step: u64) -> bool {
        self.takes_state(step) || names(self.progress, step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_names_its_multiples_and_never_the_beginning() {
        let strides = Strides { hash: 3, stats: 5, ..Strides::default() };
        let mut at = vec![0];
        while at[at.len() - 1] < 16 {
            at.push(strides.next(at[at.len() - 1], 16));
        }
        assert_eq!(at, [0, 3, 5, 6, 9, 10, 12, 15, 16]);
        assert!(!names(3, 0) && names(3, 9) && !names(0, 9));
    }

    #[test]
    fn a_stride_beyond_the_run_is_refused_by_name() {
        let strides = Strides { defect: 11, ..Strides::default() };
        assert!(strides.check(11).is_ok());
        let message = strides.check(10).unwrap_err().to_string();
        assert!(message.contains("--defect-every is 11") && message.contains("10 steps"), "{message}");
        assert!(Strides::default().check(0).unwrap_err().to_string().contains("--steps is 0"));
    }
}
