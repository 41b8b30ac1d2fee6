//! Cuts a request that failed in two, to find the id that spoils it.

use super::directory::Tenant;

/// Two parts of a request of more than one id: between two namespaces where it holds ids of several, so that those of
/// one namespace are soon asked for alone; else in halves. The cut is as near to the middle as that allows.
pub(super) fn cut(mut ids: Vec<(Tenant, u32)>) -> [Vec<u32>; 2] {
    ids.sort_by_key(|(tenant, _)| *tenant);
    let middle = ids.len() / 2;
    let boundaries = (1..ids.len()).filter(|&at| ids[at - 1].0 != ids[at].0);
    let at = boundaries.min_by_key(|at| at.abs_diff(middle)).unwrap_or(middle);
    let right = ids.split_off(at);
    [ids, right].map(|part| part.into_iter().map(|(_, id)| id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(ids: &[(u32, u32)]) -> [Vec<u32>; 2] {
        cut(ids.iter().map(|&(tenant, id)| (Tenant(tenant), id)).collect())
    }

    #[test]
    fn ids_of_several_namespaces_are_cut_between_two_of_them() {
        assert_eq!(parts(&[(1, 10), (2, 20), (1, 11), (3, 30), (1, 12)]), [vec![10, 11, 12], vec![20, 30]]);
        assert_eq!(parts(&[(1, 10), (2, 20), (2, 21), (2, 22)]), [vec![10], vec![20, 21, 22]]);
    }

    #[test]
    fn ids_of_one_namespace_are_cut_in_halves() {
        assert_eq!(parts(&[(1, 10), (1, 11), (1, 12)]), [vec![10], vec![11, 12]]);
    }
}
