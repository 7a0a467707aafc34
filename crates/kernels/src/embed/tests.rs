use super::*;
use crate::linear::testing::{random_matrix, whole_blocks};
use crate::testing::Case;
use resident_tensor::DType;

fn check(dtype: DType, cols: u32, first_token: u32, tokens: &[u32]) {
    let mut case = Case::new();
    let layout = WeightLayout { dtype, rows: 11, cols };
    let table = random_matrix(&mut case, layout);
    let step_rows: Vec<u32> = tokens.iter().flat_map(|t| [*t, 0, 0, 0]).chain([3, 0, 0, 0]).collect();
    let y_stride = cols + 1;
    let bindings = Bindings {
        weight: case.values(&table),
        row_count: case.words(&[tokens.len() as u32]),
        step_rows: case.words(&step_rows),
        y: case.output((tokens.len() + 1) * y_stride as usize * 4),
    };
    for publishes in [false, true] {
        let embed = Embed { layout, first_token, y_stride, scale: 1.5, publishes };
        case.check(&dispatch(&embed, tokens.len() as u32 + 1, bindings), 1e-7);
    }
}

#[test]
fn every_type() {
    for dtype in crate::testing::weight_types() {
        check(dtype, whole_blocks(dtype, 96), 0, &[0, 10, 3, 3]);
    }
}

#[test]
fn odd_rows_and_rows_longer_than_the_workgroup() {
    check(DType::BF16, 5, 0, &[7]);
    check(DType::F32, 1000, 0, &[7, 1]);
}

#[test]
fn a_part_of_a_table_leaves_other_tokens_alone() {
    check(DType::Q8_0, 64, 20, &[20, 19, 30, 31, 5]);
}
