// SPDX-License-Identifier: EUPL-1.2
//! Several short examples in one row.

/// Puts items of the given lengths into as few rows of `capacity` as first-fit-decreasing finds, at most 11/9 of the best
/// plus one. `order` lists the items; among equally long ones it decides, so that a shuffled order makes new rows. How
/// many rows there are depends on the lengths alone.
///
/// No length exceeds `capacity`.
pub(crate) fn first_fit_decreasing(lengths: &[usize], order: &[usize], capacity: usize) -> Vec<Vec<usize>> {
    let length = |item: usize| lengths.get(item).copied().unwrap_or(0);
    let mut items = order.to_vec();
    items.sort_by_key(|&item| std::cmp::Reverse(length(item)));
    let mut free = Free::new(items.len(), capacity);
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for item in items {
        let row = free.take(length(item));
        if row >= rows.len() {
            rows.resize(row + 1, Vec::new());
        }
        if let Some(row) = rows.get_mut(row) {
            row.push(item);
        }
    }
    rows
}

/// How much each row has free, as a tree of maxima: node `i` has the children `2i` and `2i + 1`, the rows are leaves.
struct Free {
    nodes: Vec<usize>,
    leaves: usize,
}

impl Free {
    fn new(rows: usize, capacity: usize) -> Free {
        let leaves = rows.next_power_of_two();
        Free { nodes: vec![capacity; 2 * leaves], leaves }
    }

    fn at(&self, node: usize) -> usize {
        self.nodes.get(node).copied().unwrap_or(0)
    }

    /// The first row that has `length` free, which it has no longer.
    fn take(&mut self, length: usize) -> usize {
        let mut node = 1;
        while node < self.leaves {
            node = if self.at(2 * node) >= length { 2 * node } else { 2 * node + 1 };
        }
        let row = node - self.leaves;
        let left = self.at(node).saturating_sub(length);
        if let Some(slot) = self.nodes.get_mut(node) {
            *slot = left;
        }
        while node > 1 {
            node /= 2;
            let most = self.at(2 * node).max(self.at(2 * node + 1));
            if let Some(slot) = self.nodes.get_mut(node) {
                *slot = most;
            }
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_with_room_is_taken_longest_items_first() {
        let lengths = [2, 5, 4, 7, 1, 3, 8];
        let rows = first_fit_decreasing(&lengths, &[0, 1, 2, 3, 4, 5, 6], 10);
        assert_eq!(rows, [vec![6, 0], vec![3, 5], vec![1, 2, 4]]);
    }

    #[test]
    fn the_order_decides_among_equals_and_not_how_many_rows_there_are() {
        assert_eq!(first_fit_decreasing(&[3, 3, 3], &[2, 0, 1], 6), [vec![2, 0], vec![1]]);
        assert_eq!(first_fit_decreasing(&[3, 3, 3], &[1, 2, 0], 6), [vec![1, 2], vec![0]]);
        assert!(first_fit_decreasing(&[], &[], 6).is_empty());
    }
}
