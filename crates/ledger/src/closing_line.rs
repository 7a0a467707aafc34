//! The one line that ends a run: where it ran, how fast, how close to the limit, and what left the device.

use crate::gates::Verdict;
use crate::text::{bytes_by_class, counted, rate};
use crate::{DeviceKind, Report};

impl Report {
    /// The run in one line, for people. It hides nothing: a CPU run says that no GPU was used and why, a software driver
    /// is called one, everything that left the device is named, and so is every gate that failed.
    pub fn closing_line(&self) -> String {
        let mut parts = vec![self.device_part()];
        parts.extend(self.generation.as_ref().map(|g| counted(g.completion_tokens, "token")));
        if let Some(rollout) = &self.rollout {
            parts.push(counted(rollout.steps, "step"));
            parts.push(format!("{} steps/s by {}", rate(rollout.steps_per_second), rollout.executor));
        }
        let decode_rate = self.timings.as_ref().and_then(|t| t.decode_tokens_per_second);
        parts.extend(decode_rate.map(|tokens| format!("{} tok/s", rate(tokens))));
        // A small model lies in the CPU's caches, so there the share would say nothing about memory.
        let on_gpu = self.device.kind != DeviceKind::Cpu;
        let share = self.bandwidth.as_ref().filter(|_| on_gpu).and_then(|b| b.share_of_limit);
        parts.extend(share.map(|share| format!("{:.0} % of the bandwidth limit", share * 100.0)));
        parts.push(self.residency_part());
        parts.extend(self.failed_part());
        parts.join(" · ")
    }

    fn device_part(&self) -> String {
        let device = &self.device;
        let note = if device.kind == DeviceKind::SoftwareGpu { " (a CPU driver)" } else { "" };
        format!("{} {}{note}", device.kind, device.used)
    }

    fn residency_part(&self) -> String {
        let device = match self.device.kind {
            DeviceKind::Gpu => "the GPU",
            DeviceKind::SoftwareGpu => "the Vulkan device",
            DeviceKind::Cpu => return format!("no GPU was used: {}", self.device.reason),
        };
        let left = bytes_by_class(&self.hot_loop().readback_bytes);
        match left.is_empty() {
            true => format!("nothing left {device}"),
            false => format!("nothing left {device} but {left}"),
        }
    }

    fn failed_part(&self) -> Option<String> {
        let failed = self.gates.iter().filter(|gate| gate.verdict == Verdict::Fail);
        let failed: Vec<_> = failed.map(|gate| format!("{} ({})", gate.name, gate.detail)).collect();
        (!failed.is_empty()).then(|| format!("FAILED {}", failed.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{cpu_run, gpu_run, software_run};
    use crate::{Thresholds, evaluate};

    #[test]
    fn a_gpu_run_says_what_left_the_gpu() {
        assert_eq!(
            gpu_run().closing_line(),
            "gpu NVIDIA H200 · 128 tokens · 1 480 tok/s · 41 % of the bandwidth limit · \
             nothing left the GPU but 512 bytes of tokens"
        );
    }

    #[test]
    fn everything_that_left_the_gpu_is_named() {
        let mut report = gpu_run();
        report.counters.after_seal.readback_bytes.insert("logits".into(), 607_744);
        let line = report.closing_line();
        assert!(
            line.ends_with("nothing left the GPU but 607 744 bytes of logits, 512 bytes of tokens"),
            "{line}"
        );
    }

    #[test]
    fn a_cpu_run_says_that_no_gpu_was_used_and_why() {
        let mut report = cpu_run();
        report.bandwidth = gpu_run().bandwidth;
        assert_eq!(
            report.closing_line(),
            "cpu AMD EPYC, 2 threads · 128 tokens · 812 tok/s · no GPU was used: no Vulkan driver is installed"
        );
    }

    #[test]
    fn a_software_driver_is_not_called_a_gpu() {
        assert_eq!(
            software_run().closing_line(),
            "software-gpu llvmpipe (a CPU driver) · 128 tokens · 31 tok/s · \
             nothing left the Vulkan device but 512 bytes of tokens"
        );
    }

    #[test]
    fn one_token_has_no_rate_and_no_plural() {
        let mut report = gpu_run();
        report.generation.as_mut().unwrap().completion_tokens = 1;
        report.timings.as_mut().unwrap().set_decode(0, std::time::Duration::ZERO);
        report.bandwidth = None;
        report.counters.after_seal.readback_bytes.insert("tokens".into(), 4);
        let line = report.closing_line();
        assert_eq!(line, "gpu NVIDIA H200 · 1 token · nothing left the GPU but 4 bytes of tokens");
    }

    #[test]
    fn a_rollout_says_its_steps_and_how_they_were_run() {
        let mut report = gpu_run();
        (report.generation, report.timings, report.bandwidth) = (None, None, None);
        report.counters.after_seal.readback_bytes = [("hash".to_owned(), 16)].into();
        report.rollout = Some(crate::RolloutReport {
            steps: 300_000,
            steps_per_second: 1_350_000.4,
            executor: "persistent".into(),
            ..Default::default()
        });
        assert_eq!(
            report.closing_line(),
            "gpu NVIDIA H200 · 300 000 steps · 1 350 000 steps/s by persistent · nothing left the GPU but 16 bytes of hash"
        );
    }

    #[test]
    fn a_failed_gate_is_named() {
        let mut report = gpu_run();
        report.counters.after_seal.allocations = 3;
        report.gates = evaluate(&report, &Thresholds::default());
        let line = report.closing_line();
        let failed =
            "FAILED allocations_after_seal (3 device memory allocations after the seal, at most 0 allowed)";
        assert!(line.ends_with(failed), "{line}");
    }
}
