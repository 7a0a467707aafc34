//! `resident devices`: every device, best first, with what it can do and why it stands where it stands.

use crate::{device, exit, output};
use anyhow::Result;
use resident_ledger::DeviceKind;
use resident_runtime::{DeviceInfo, format_bytes, list_devices, rank};
use std::fmt::Write;

/// List Vulkan devices and the CPU device, best first
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident devices
  resident devices --json

'gpu:N' is what --device takes. auto takes the first hardware GPU of this list, else the CPU device.")]
pub(crate) struct Args {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Output {
    devices: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(serde::Serialize)]
struct Row {
    device: String,
    rank: usize,
    name: String,
    /// As run reports call it.
    kind: DeviceKind,
    /// As Vulkan calls it.
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vulkan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_local_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_heap_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_bytes: Option<u64>,
    features: Vec<String>,
    usable: bool,
    reason: String,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let listing = list_devices()?;
    let mut rows = Vec::new();
    for ranked in rank(&listing.devices) {
        rows.push(row(&listing.devices[ranked.index], rows.len() + 1, ranked.reason));
    }
    rows.push(cpu_row(rows.len() + 1));
    let output = Output { devices: rows, note: listing.note };
    if args.json {
        output::write_json(&output)?
    } else {
        output::write(&text(&output))?
    }
    Ok(exit::DONE)
}

fn row(info: &DeviceInfo, rank: usize, reason: String) -> Row {
    let (major, minor, patch) = info.api_version;
    Row {
        device: format!("gpu:{}", info.index),
        rank,
        name: info.name.clone(),
        kind: if info.kind.is_software() { DeviceKind::SoftwareGpu } else { DeviceKind::Gpu },
        r#type: info.kind.to_string(),
        driver: Some(format!("{} {}", info.driver_name, info.driver_info).trim().to_owned()),
        vulkan: Some(format!("{major}.{minor}.{patch}")),
        device_local_bytes: Some(info.device_local_bytes()),
        total_heap_bytes: Some(info.total_heap_bytes()),
        budget_bytes: info.budget_bytes(),
        features: features(info),
        usable: info.unusable.is_none(),
        reason,
    }
}

/// The features that a kernel uses or a later one may.
fn features(info: &DeviceInfo) -> Vec<String> {
    let f = &info.features;
    let named = [
        (f.subgroup_size_control, "subgroup size control"),
        (f.vulkan_memory_model_device_scope, "device-scope memory model"),
        (f.shader_float16, "float16"),
        (f.storage_buffer_16bit, "16-bit storage"),
        (f.storage_buffer_8bit, "8-bit storage"),
        (f.integer_dot_product_4x8_packed_signed_accelerated, "int8 dot product"),
        (f.cooperative_matrix, "cooperative matrix"),
        (f.cooperative_matrix2.is_some(), "cooperative matrix 2"),
        (f.bfloat16, "bfloat16"),
        (f.memory_budget, "memory budget"),
    ];
    let subgroup = match f.min_subgroup_size == f.max_subgroup_size {
        true => format!("subgroup {}", f.subgroup_size),
        false => format!("subgroup {} ({} to {})", f.subgroup_size, f.min_subgroup_size, f.max_subgroup_size),
    };
    let present = named.into_iter().filter(|(present, _)| *present).map(|(_, name)| name.to_owned());
    [subgroup].into_iter().chain(present).collect()
}

fn cpu_row(rank: usize) -> Row {
    Row {
        device: "cpu".into(),
        rank,
        name: device::cpu_name(),
        kind: DeviceKind::Cpu,
        r#type: "cpu".into(),
        driver: None,
        vulkan: None,
        device_local_bytes: None,
        total_heap_bytes: None,
        budget_bytes: None,
        features: Vec::new(),
        usable: true,
        reason: "the CPU device: runs every plan on the host's cores, when there is no hardware GPU or it is asked for".into(),
    }
}

fn text(output: &Output) -> String {
    let mut text = String::new();
    for row in &output.devices {
        let _ = writeln!(text, "{:<6} {} ({})", row.device, row.name, row.r#type);
        if let (Some(driver), Some(vulkan)) = (&row.driver, &row.vulkan) {
            let _ = writeln!(text, "       {driver}, Vulkan {vulkan}");
        }
        if let (Some(local), Some(total)) = (row.device_local_bytes, row.total_heap_bytes) {
            let budget =
                row.budget_bytes.map(|b| format!(", {} of it free for this process", format_bytes(b)));
            let budget = budget.unwrap_or_default();
            let _ = writeln!(
                text,
                "       {} device-local of {} in all heaps{budget}",
                format_bytes(local),
                format_bytes(total)
            );
        }
        if !row.features.is_empty() {
            let _ = writeln!(text, "       {}", row.features.join(", "));
        }
        let _ = writeln!(text, "       rank {}: {}", row.rank, row.reason);
    }
    if let Some(note) = &output.note {
        let _ = writeln!(text, "no Vulkan device: {note}");
    }
    text
}
