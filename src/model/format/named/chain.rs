//! The only order in which layers chain, where there is one.
//!
//! A layer is an edge from its inputs' width to its outputs'; an order is a walk that takes every
//! edge once.

use std::collections::BTreeSet;

/// The orders in which layers chain.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Orders {
    None,
    /// The only one: layers by index.
    One(Vec<usize>),
    /// Several; two layers that could each come at the same place.
    Many(usize, usize),
}

/// The orders in which layers of these inputs and outputs chain.
pub(super) fn orders(widths: &[(usize, usize)]) -> Orders {
    let graph = Graph::new(widths);
    let mut left = vec![true; widths.len()];
    let Some(mut at) = graph.start() else {
        // Every width is entered as often as left: any layer may be the first of a circle.
        return match widths {
            [] => Orders::None,
            [_] => Orders::One(vec![0]),
            _ if graph.reaches_all(graph.edges[0].0, &left) => Orders::Many(0, 1),
            _ => Orders::None,
        };
    };
    let mut order = Vec::with_capacity(widths.len());
    if !graph.balances(at) || !graph.reaches_all(at, &left) {
        return Orders::None;
    }
    while order.len() < widths.len() {
        let mut next = None;
        for edge in graph.leaving[at].iter().copied() {
            if !left[edge] {
                continue;
            }
            left[edge] = false;
            let leads_on = graph.reaches_all(graph.edges[edge].1, &left);
            left[edge] = true;
            match next {
                _ if !leads_on => {}
                None => next = Some(edge),
                Some(other) => return Orders::Many(other, edge),
            }
        }
        let Some(edge) = next else { return Orders::None };
        left[edge] = false;
        order.push(edge);
        at = graph.edges[edge].1;
    }
    Orders::One(order)
}

/// Layers as edges between widths, widths as small numbers.
struct Graph {
    edges: Vec<(usize, usize)>,
    /// The edges that leave each width.
    leaving: Vec<Vec<usize>>,
    /// How often each width is left, less how often it is entered.
    surplus: Vec<isize>,
}

impl Graph {
    fn new(widths: &[(usize, usize)]) -> Graph {
        let known: BTreeSet<usize> = widths.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let known: Vec<usize> = known.into_iter().collect();
        // Every width is known; its place is found.
        let place = |width: &usize| known.binary_search(width).unwrap_or(0);
        let edges: Vec<_> = widths.iter().map(|(from, to)| (place(from), place(to))).collect();
        let mut leaving = vec![Vec::new(); known.len()];
        let mut surplus = vec![0; known.len()];
        for (edge, (from, to)) in edges.iter().enumerate() {
            leaving[*from].push(edge);
            surplus[*from] += 1;
            surplus[*to] -= 1;
        }
        Graph { edges, leaving, surplus }
    }

    /// The width that is left more often than it is entered.
    fn start(&self) -> Option<usize> {
        self.surplus.iter().position(|surplus| *surplus > 0)
    }

    /// Whether a walk from `start` can take every edge, as far as counting tells.
    fn balances(&self, start: usize) -> bool {
        let odd = self.surplus.iter().filter(|surplus| **surplus != 0).count();
        self.surplus[start] == 1 && odd == 2
    }

    /// Whether every edge that is left can be reached from a width over edges that are left.
    fn reaches_all(&self, from: usize, left: &[bool]) -> bool {
        let mut reached = vec![false; self.leaving.len()];
        let mut open = vec![from];
        let mut count = 0;
        reached[from] = true;
        while let Some(at) = open.pop() {
            for edge in self.leaving[at].iter().filter(|edge| left[**edge]) {
                count += 1;
                let to = self.edges[*edge].1;
                if !reached[to] {
                    reached[to] = true;
                    open.push(to);
                }
            }
        }
        count == left.iter().filter(|left| **left).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_order_several_or_none() {
        assert_eq!(orders(&[(4, 3), (2, 1), (3, 2)]), Orders::One(vec![0, 2, 1]));
        assert_eq!(orders(&[(4, 4)]), Orders::One(vec![0]));
        // A square layer in the middle has one place; two have two orders.
        assert_eq!(orders(&[(3, 2), (4, 3), (3, 3)]), Orders::One(vec![1, 2, 0]));
        assert_eq!(orders(&[(3, 2), (4, 3), (3, 3), (3, 3)]), Orders::Many(2, 3));
        // 3-2-3 must come before 3-1, although both leave 3.
        assert_eq!(orders(&[(3, 1), (2, 3), (3, 2), (4, 3)]), Orders::One(vec![3, 2, 1, 0]));
        assert_eq!(orders(&[(3, 2), (2, 3)]), Orders::Many(0, 1));
        assert_eq!(orders(&[(4, 4), (4, 4)]), Orders::Many(0, 1));
        for widths in [&[][..], &[(4, 3), (2, 1)], &[(4, 4), (3, 3)], &[(4, 3), (4, 2)]] {
            assert_eq!(orders(widths), Orders::None, "{widths:?}");
        }
        assert_eq!(orders(&[(5, 4), (4, 5), (3, 2)]), Orders::None);
    }

    #[test]
    fn a_long_chain_has_its_order() {
        let widths: Vec<_> = (0..1024).map(|n| n * 389 % 1024).map(|n| (n, n + 1)).collect();
        let Orders::One(order) = orders(&widths) else { panic!("no order") };
        assert!(order.windows(2).all(|pair| widths[pair[0]].1 == widths[pair[1]].0));
    }

    /// All permutations, counted.
    fn counted(widths: &[(usize, usize)], last: Option<usize>, left: &mut Vec<bool>) -> usize {
        if !left.contains(&true) {
            return 1;
        }
        let mut count = 0;
        for edge in 0..widths.len() {
            if left[edge] && last.is_none_or(|last| last == widths[edge].0) {
                left[edge] = false;
                count += counted(widths, Some(widths[edge].1), left);
                left[edge] = true;
            }
        }
        count
    }

    #[test]
    fn every_small_graph_is_judged_as_counting_judges_it() {
        let edge = |n: usize| (n % 3, n / 3);
        for n in 0..9_usize.pow(4) {
            let widths: Vec<_> = (0..4).map(|digit| edge(n / 9_usize.pow(digit) % 9)).collect();
            let count = counted(&widths, None, &mut vec![true; 4]);
            match orders(&widths) {
                Orders::None => assert_eq!(count, 0, "{widths:?}"),
                Orders::Many(..) => assert!(count > 1, "{widths:?}: {count}"),
                Orders::One(order) => {
                    assert_eq!(count, 1, "{widths:?}");
                    let chains = |pair: &[usize]| widths[pair[0]].1 == widths[pair[1]].0;
                    assert!(order.windows(2).all(chains), "{widths:?}: {order:?}");
                }
            }
        }
    }
}
