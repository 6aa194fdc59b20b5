//! Partners of images that share all but k factors.

use std::cmp::Ordering;
use std::ops::Range;

use crate::data::factors::numbers_images;
use crate::data::{Dataset, FactorGrid, Factors};
use crate::error::{Error, Result};
use crate::random::Stream;

/// Largest number of entries of the indices over a table of factors: 256 MiB.
const MAX_ENTRIES: usize = 1 << 26;

/// Draws among candidates before they are gone through one by one.
const DRAWS: usize = 32;

/// The images that have partners, and how these are found.
pub(super) struct SharedFactors {
    partners: Partners,
    /// The numbers k of factors in which pairs may differ.
    changed: Range<usize>,
}

enum Partners {
    /// Every combination of factors is there, so every image has every partner. `varying` are the factors with two
    /// classes or more.
    Grid { grid: FactorGrid, varying: Vec<usize> },
    /// Partners are looked up.
    Table(PartnerTable),
}

impl SharedFactors {
    /// The images of a data set that have partners which differ in `changed` factors, or in any number.
    ///
    /// # Errors
    /// If there are no factors or no such images.
    pub(super) fn of(data: &dyn Dataset, changed: Option<usize>) -> Result<(Self, Vec<String>)> {
        let Some(factors) = data.factors() else {
            return Err(Error::config(
                format!("{} has no factors, by which its images could be paired", data.name()),
                "give labels with data.labels, or a table of pairs with objective.pairs",
            ));
        };
        let all = factors.factors();
        // With classes that hardly recur, as a number of the image, no two images would share anything.
        let is_numbering = |k: &usize| {
            let classes = all[*k].values.len();
            matches!(factors, Factors::Table(_)) && numbers_images(classes, factors.len())
        };
        let varying: Vec<usize> = (0..all.len()).filter(|k| all[*k].values.len() > 1).collect();
        let (numbering, varying): (Vec<usize>, Vec<usize>) =
            varying.into_iter().partition(is_numbering);
        let notes = numbering.iter().map(|k| {
            format!(
                "pairs: factor {} is ignored because hardly any two images share it",
                all[*k].name
            )
        });
        let notes = notes.collect();
        let most = varying.len().saturating_sub(1);
        let fits = changed.is_none_or(|count| (1..=most).contains(&count));
        if most == 0 || !fits {
            let names: Vec<&str> = varying.iter().map(|k| &*all[*k].name).collect();
            return Err(Error::Mismatch {
                what: format!(
                    "objective.pairs: factors of {} in which a pair may differ",
                    data.name()
                ),
                expected: match most {
                    0 => "at least two factors that vary".into(),
                    _ => format!(
                        "1 to {most}, as {} factors vary and a pair shares one",
                        varying.len()
                    ),
                },
                found: match (most, changed) {
                    (0, _) | (_, None) => format!("{} ({})", varying.len(), names.join(", ")),
                    (_, Some(count)) => count.to_string(),
                },
                hint: String::new(),
            });
        }
        let changed = match changed {
            None => 1..varying.len(),
            Some(count) => count..count + 1,
        };
        let partners = match factors {
            Factors::Grid(grid) => Partners::Grid { grid: grid.clone(), varying },
            Factors::Table(_) => {
                Partners::Table(PartnerTable::new(data, factors, &varying, &changed)?)
            }
        };
        Ok((Self { partners, changed }, notes))
    }

    /// Number of images that have a partner.
    pub(super) fn len(&self) -> usize {
        match &self.partners {
            Partners::Grid { grid, .. } => grid.len(),
            Partners::Table(table) => table.images.len(),
        }
    }

    /// The image at `position` among those, and a partner.
    pub(super) fn get(&self, position: usize, stream: &mut Stream) -> [usize; 2] {
        let count = self.changed.start + stream.below(self.changed.len());
        match &self.partners {
            Partners::Grid { grid, varying } => {
                let mut classes = grid.classes(position);
                let mut rest = varying.clone();
                for _ in 0..count {
                    let factor = rest.swap_remove(stream.below(rest.len()));
                    // Another class than before, all as likely.
                    let others = grid.factors[factor].values.len() - 1;
                    let moved = classes[factor] + 1 + stream.below(others);
                    classes[factor] = moved % (others + 1);
                }
                [position, grid.index(&classes)]
            }
            Partners::Table(table) => {
                let image = table.images[position];
                [image as usize, table.partner(image, count, stream) as usize]
            }
        }
    }
}

/// A table of factors with its images in the order of what they share.
struct PartnerTable {
    /// Number of factors.
    columns: usize,
    /// [N, K]
    classes: Vec<u32>,
    /// One index for each set of factors that may change.
    indices: Vec<SharedIndex>,
    /// The images that have a partner.
    images: Vec<u32>,
}

/// All images, sorted by their classes of the factors that stay.
struct SharedIndex {
    /// Which factors change.
    changes: Vec<bool>,
    order: Vec<u32>,
}

impl PartnerTable {
    fn new(
        data: &dyn Dataset,
        factors: &Factors,
        varying: &[usize],
        changed: &Range<usize>,
    ) -> Result<Self> {
        let (columns, len) = (varying.len(), factors.len());
        let sizes: Vec<usize> = (0..columns).map(|k| binomial(columns, k)).collect();
        let subsets = changed.clone().fold(0_usize, |sum, count| sum.saturating_add(sizes[count]));
        if subsets.saturating_mul(len) > MAX_ENTRIES {
            return Err(Error::Mismatch {
                what: format!("pairs of {}: sets of factors that may change", data.name()),
                expected: format!("at most {} for {len} images", MAX_ENTRIES / len),
                found: subsets.to_string(),
                hint:
                    "set objective.pairs to a small number of factors, or list the pairs in a table"
                        .into(),
            });
        }
        let mut classes = Vec::with_capacity(columns * len);
        for image in 0..len {
            let row = factors.classes(image);
            classes.extend(varying.iter().map(|k| row[*k] as u32));
        }
        let mut table = Self { columns, classes, indices: Vec::new(), images: Vec::new() };
        for count in changed.clone() {
            for changes in subsets_of(columns, count) {
                let mut order: Vec<u32> = (0..len as u32).collect();
                order.sort_by(|a, b| table.compare_shared(*a, *b, &changes));
                table.indices.push(SharedIndex { changes, order });
            }
        }
        table.images = (0..len as u32).filter(|image| table.has_partner(*image)).collect();
        if table.images.is_empty() {
            let differ = match changed.len() {
                1 => changed.start.to_string(),
                _ => "some".into(),
            };
            return Err(Error::config(
                format!("no two images of {} differ in {differ} of their factors", data.name()),
                "bin continuous factors, or list the pairs in a table",
            ));
        }
        Ok(table)
    }

    fn row(&self, image: u32) -> &[u32] {
        &self.classes[image as usize * self.columns..][..self.columns]
    }

    /// The order of two images by the factors that stay.
    fn compare_shared(&self, a: u32, b: u32, changes: &[bool]) -> Ordering {
        let shared = |image| self.row(image).iter().zip(changes).filter(|(_, changes)| !**changes);
        shared(a).map(|(class, _)| class).cmp(shared(b).map(|(class, _)| class))
    }

    /// Whether two images differ in every factor that changes.
    fn is_partner(&self, a: u32, b: u32, changes: &[bool]) -> bool {
        let pairs = self.row(a).iter().zip(self.row(b)).zip(changes);
        pairs.into_iter().all(|((a, b), changes)| !changes || a != b)
    }

    /// The images that share with this one what an index says.
    fn group<'a>(&self, image: u32, index: &'a SharedIndex) -> &'a [u32] {
        let compare = |other: &u32| self.compare_shared(*other, image, &index.changes);
        let start = index.order.partition_point(|other| compare(other) == Ordering::Less);
        let rest = &index.order[start..];
        &rest[..rest.partition_point(|other| compare(other) == Ordering::Equal)]
    }

    fn has_partner(&self, image: u32) -> bool {
        self.indices.iter().any(|index| {
            let mut group = self.group(image, index).iter();
            group.any(|other| self.is_partner(image, *other, &index.changes))
        })
    }

    /// A partner that differs in `count` factors; in another number where this image has none such.
    fn partner(&self, image: u32, count: usize, stream: &mut Stream) -> u32 {
        let changes =
            |index: &SharedIndex| index.changes.iter().filter(|changes| **changes).count();
        let first = self.indices.partition_point(|index| changes(index) < count);
        let of_count = self.indices[first..].partition_point(|index| changes(index) == count);
        let start = first + stream.below(of_count);
        let in_turn = self.indices[start..].iter().chain(&self.indices[..start]);
        for index in in_turn {
            if let Some(partner) = self.partner_in(image, index, stream) {
                return partner;
            }
        }
        unreachable!("`images` are those that have a partner")
    }

    /// A random one of the partners in an index.
    fn partner_in(&self, image: u32, index: &SharedIndex, stream: &mut Stream) -> Option<u32> {
        let group = self.group(image, index);
        let fits = |other: &u32| self.is_partner(image, *other, &index.changes);
        let draws = (0..DRAWS).map(|_| group[stream.below(group.len())]);
        if let Some(found) = draws.into_iter().find(fits) {
            return Some(found);
        }
        // Partners are rare in this group or there is none.
        let partners: Vec<u32> = group.iter().copied().filter(fits).collect();
        (!partners.is_empty()).then(|| partners[stream.below(partners.len())])
    }
}

/// n over k.
fn binomial(n: usize, k: usize) -> usize {
    (0..k).fold(1_usize, |product, i| product.saturating_mul(n - i) / (i + 1))
}

/// All ways to choose `count` of `len` things.
fn subsets_of(len: usize, count: usize) -> Vec<Vec<bool>> {
    if count == 0 || len < count {
        return if count == 0 { vec![vec![false; len]] } else { Vec::new() };
    }
    let extended = |count, last| {
        subsets_of(len - 1, count).into_iter().map(move |mut subset| {
            subset.push(last);
            subset
        })
    };
    extended(count, false).chain(extended(count - 1, true)).collect()
}
