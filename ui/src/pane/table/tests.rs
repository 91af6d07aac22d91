use super::*;

#[derive(Debug, Clone)]
struct Thing(i64, bool);
impl Row for Thing {
    fn number(&self) -> i64 {
        self.0
    }
    fn is_live(&self) -> bool {
        self.1
    }
}

fn page(rows: &[(i64, bool)], more: bool) -> Page<Thing> {
    let rows: Vec<_> = rows.iter().map(|(n, l)| Thing(*n, *l)).collect();
    Page { total: rows.len() as u64 + u64::from(more) * 100, rows, hidden: 0, more }
}

fn order(table: &Table<Thing>) -> Vec<i64> {
    table.rows().iter().map(Row::number).collect()
}

#[test]
fn live_ones_stand_above_and_the_cursor_stays_on_its_entity() {
    let mut table = Table::default();
    table.first_page(page(&[(3, false), (5, true), (4, true), (2, false)], false));
    assert_eq!(order(&table), [5, 4, 3, 2]);
    table.step(1);
    assert_eq!(table.selected().unwrap().0, 4);
    table.first_page(page(&[(7, true), (6, true), (5, true), (4, true), (3, false), (2, false)], false));
    assert_eq!(table.selected().unwrap().0, 4);
    assert_eq!(order(&table), [7, 6, 5, 4, 3, 2]);
}

#[test]
fn a_row_that_ends_under_the_cursor_stays_until_the_cursor_leaves() {
    let mut table = Table::default();
    table.first_page(page(&[(5, true), (4, true), (6, false)], false));
    assert_eq!(table.selected().unwrap().0, 5);
    table.first_page(page(&[(4, true), (6, false), (5, false)], false));
    assert_eq!(order(&table), [5, 4, 6]);
    table.step(1);
    assert_eq!(order(&table), [4, 6, 5]);
}

#[test]
fn a_vanished_row_gives_the_cursor_to_its_neighbour() {
    let mut table = Table::default();
    table.first_page(page(&[(3, false), (2, false), (1, false)], false));
    table.step(1);
    table.first_page(page(&[(3, false), (1, false)], false));
    assert_eq!(table.selected().unwrap().0, 1);
    table.first_page(page(&[], false));
    assert!(table.selected().is_none());
}

#[test]
fn pages_join_and_a_refresh_keeps_what_is_older() {
    let mut table = Table::default();
    table.first_page(page(&[(9, true), (8, false), (7, false)], true));
    table.end(true);
    assert_eq!(table.wants_more(10), Some(7));
    table.further_page(page(&[(6, false), (5, false)], false));
    assert_eq!(order(&table), [9, 8, 7, 6, 5]);
    table.first_page(page(&[(10, true), (9, false), (8, false)], true));
    assert_eq!(order(&table), [10, 9, 8, 7, 6, 5]);
    assert_eq!(table.selected().unwrap().0, 7);
}

#[test]
fn there_is_more_behind_a_page_whose_rows_were_not_counted() {
    let mut table = Table::default();
    let uncounted = |rows: &[(i64, bool)], more| Page { total: rows.len() as u64, ..page(rows, more) };
    table.first_page(uncounted(&[(9, true), (8, false), (7, false)], true));
    table.end(true);
    assert_eq!(table.wants_more(10), Some(7));
    assert!(table.range_words(10, false, "hidden").ends_with("of 3+"), "{}", table.range_words(10, false, "hidden"));
    table.further_page(uncounted(&[(6, false), (5, false)], false));
    assert_eq!(table.wants_more(10), None, "the end has been seen");
    table.first_page(uncounted(&[(10, true), (9, false), (8, false)], true));
    assert_eq!((order(&table), table.wants_more(10)), (vec![10, 9, 8, 7, 6, 5], None), "and stays known");
}

#[test]
fn the_view_keeps_two_rows_from_the_edge() {
    let mut table = Table::default();
    table.first_page(page(&(1..=50).map(|n| (n, false)).collect::<Vec<_>>(), false));
    for _ in 0..10 {
        table.step(1);
        table.settle(10, false);
    }
    assert_eq!(table.range_words(10, false, "hidden"), "4–13 of 50");
    table.scroll(20, 10, false);
    table.settle(10, false);
    assert_eq!(table.range_words(10, false, "hidden"), "24–33 of 50");
    assert_eq!(table.at(0, false), Some(27));
}

#[test]
fn marks_survive_and_invert() {
    let mut table = Table::default();
    table.first_page(page(&[(3, false), (2, false), (1, false)], false));
    table.mark();
    assert_eq!((table.marks.len(), table.selected().unwrap().0), (1, 2));
    table.invert_marks();
    assert_eq!(table.marks.iter().copied().collect::<Vec<_>>(), [1, 2]);
}
