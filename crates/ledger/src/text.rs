//! Numbers and lists in the words of the report.

use std::collections::BTreeMap;

/// Digits in groups of three: `1 480`.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A rate: whole from 10 on, one decimal below.
pub(crate) fn rate(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { grouped(value.round() as u64) }
}

/// `1 token`, `128 tokens`.
pub(crate) fn counted(value: u64, singular: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {singular}{plural}", grouped(value))
}

/// `512 bytes of tokens, 4 bytes of logits`; classes without a byte are left out.
pub(crate) fn bytes_by_class(bytes: &BTreeMap<String, u64>) -> String {
    let parts = bytes.iter().filter(|(_, bytes)| **bytes > 0);
    parts
        .map(|(class, bytes)| format!("{} of {class}", counted(*bytes, "byte")))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        let texts = [0, 7, 999, 1_480, 12_345, 1_000_000].map(grouped);
        assert_eq!(texts, ["0", "7", "999", "1 480", "12 345", "1 000 000"]);
    }

    #[test]
    fn slow_rates_keep_a_decimal() {
        assert_eq!([0.33, 9.94, 9.96, 1480.4].map(rate), ["0.3", "9.9", "10", "1 480"]);
    }
}
