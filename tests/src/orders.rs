//! All orders of some steps.

/// All orders of these steps.
pub fn orders<T: Copy>(steps: &[T]) -> Vec<Vec<T>> {
    if steps.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in 0..steps.len() {
        let mut rest = steps.to_vec();
        let step = rest.remove(first);
        for mut order in orders(&rest) {
            order.insert(0, step);
            all.push(order);
        }
    }
    all
}
