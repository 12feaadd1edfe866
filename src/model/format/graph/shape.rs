//! The shape of a value along the chain: axes of the batch, then those of a row.

use super::proto::{Dimension, NodeProto, ValueInfo, data_type, is_float};
use super::refuse;
use super::tensor::AXES_MAX;
use crate::model::ModelError;
use crate::model::format::numbers::element_count;

/// Which axes of the input are the batch. What a row is follows from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum View {
    /// The first, as in nearly every file.
    First,
    /// All but the last, which layers, softmax and activations treat alike.
    AllButLast,
    /// None: the whole input is one row.
    None,
}

/// What the file says about its input.
#[derive(Debug)]
pub(super) struct InputShape {
    pub(super) row: Row,
    pub(super) view: View,
    /// Whether rows are bytes.
    pub(super) bytes: bool,
}

/// The shape of a value: the batch's axes, then a row's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// The sizes of the batch's axes, where they are stated.
    lead: Vec<Option<usize>>,
    axes: Axes,
}

/// The axes of a row.
#[derive(Clone, Debug, PartialEq)]
enum Axes {
    /// Every axis is stated.
    Known(Vec<usize>),
    /// One axis of a width that the file does not state.
    Flat,
    /// Several axes not all stated, or no shape at all.
    Unknown,
}

impl View {
    /// The views that an input's shape allows, the likeliest first; never empty.
    pub(super) fn of(input: &ValueInfo) -> Vec<View> {
        let Some(sizes) = stated_sizes(input) else { return vec![View::First] };
        let mut views = Vec::new();
        if sizes.len() != 1 {
            views.push(View::First);
        }
        if sizes.len() > 2 {
            views.push(View::AllButLast);
        }
        if sizes.len() == 1 || (sizes.len() > 1 && sizes.iter().all(Option::is_some)) {
            views.push(View::None);
        }
        views
    }
}

impl InputShape {
    pub(super) fn of(input: &ValueInfo, view: View) -> Result<InputShape, ModelError> {
        let unsupported = |reason: String| ModelError::unsupported(&input.name, "input", reason);
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let element = tensor.map_or(data_type::FLOAT, |tensor| tensor.elem_type);
        let bytes = element == data_type::UINT8;
        if !bytes && !is_float(element) {
            return Err(unsupported(format!(
                "rows must be floats or uint8, and these are of data type {element}"
            )));
        }
        let Some(sizes) = stated_sizes(input) else {
            let row = Row { lead: vec![None], axes: Axes::Unknown };
            return Ok(InputShape { row, view, bytes });
        };
        if sizes.len() > AXES_MAX {
            return Err(ModelError::too_large("axes of the input", AXES_MAX, sizes.len()));
        }
        let leading = match view {
            View::First => 1,
            View::AllButLast => sizes.len().saturating_sub(1),
            View::None => 0,
        };
        let Some((lead, row)) = sizes.split_at_checked(leading).filter(|(_, row)| !row.is_empty())
        else {
            return Err(unsupported(String::from(
                "a row needs an axis; export with an input of [batch, features]",
            )));
        };
        let known: Option<Vec<usize>> = row.iter().copied().collect();
        let axes = match known {
            Some(row) => Axes::Known(row),
            None if row.len() == 1 => Axes::Flat,
            None => Axes::Unknown,
        };
        Ok(InputShape { row: Row { lead: lead.to_vec(), axes }, view, bytes })
    }
}

/// The sizes of an input's axes, where it has a shape; `None` is any size.
fn stated_sizes(input: &ValueInfo) -> Option<Vec<Option<usize>>> {
    let shape = input.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    let size = |dim: &Dimension| {
        let size = dim.dim_value.filter(|size| *size > 0);
        size.and_then(|size| usize::try_from(size).ok())
    };
    // One more than a value may have is enough to be refused.
    Some(shape.dim.iter().take(AXES_MAX + 1).map(size).collect())
}

/// One axis that a `Reshape` asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Size {
    /// That of the value's axis in the same place.
    Copied,
    /// Whatever is left by the other axes.
    Inferred,
    Fixed(usize),
}

impl Row {
    /// The axes, where all are stated.
    pub(super) fn known(&self) -> Option<&[usize]> {
        match &self.axes {
            Axes::Known(row) => Some(row),
            Axes::Flat | Axes::Unknown => None,
        }
    }

    /// How many values a row has, where it is stated and fits.
    pub(super) fn width(&self) -> Option<usize> {
        element_count(self.known()?)
    }

    /// How many axes are the batch's.
    pub(super) fn leading(&self) -> usize {
        self.lead.len()
    }

    /// How many rows the file is fixed to, where it is; a value without a batch is one row.
    pub(super) fn batch(&self) -> Option<usize> {
        self.lead.iter().try_fold(1_usize, |product, size| product.checked_mul((*size)?))
    }

    /// The rank of the value, batch included, where it is known.
    pub(super) fn rank(&self) -> Option<usize> {
        match &self.axes {
            Axes::Known(row) => Some(self.lead.len() + row.len()),
            Axes::Flat => Some(self.lead.len() + 1),
            Axes::Unknown => None,
        }
    }

    /// An axis counted from the front, where it is inside the value.
    pub(super) fn axis(&self, axis: i64) -> Option<usize> {
        let rank = i64::try_from(self.rank()?).ok()?;
        let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
        usize::try_from(axis).ok().filter(|_| axis < rank)
    }

    /// Whether all values of a row stand along the last axis.
    pub(super) fn is_vector(&self) -> bool {
        match &self.axes {
            Axes::Known(row) => {
                row.split_last().is_some_and(|(_, rest)| rest.iter().all(|n| *n == 1))
            }
            Axes::Flat => true,
            Axes::Unknown => false,
        }
    }

    fn with(&self, axes: Vec<usize>) -> Row {
        Row { lead: self.lead.clone(), axes: Axes::Known(axes) }
    }

    /// The row after a layer that takes up the last axis and puts `outputs` values there, or one
    /// value and no axis.
    pub(super) fn after_layer(&self, outputs: Option<usize>) -> Row {
        let mut axes = self.known().map_or_else(|| vec![1], <[usize]>::to_vec);
        axes.pop();
        axes.extend(outputs);
        self.with(axes)
    }

    /// The row after `Flatten`.
    pub(super) fn flattened(&self, node: &NodeProto, axis: i64) -> Result<Row, ModelError> {
        let leading = self.lead.len();
        if self.known().is_none() {
            let keeps = leading == 1 && (axis == 1 || self.axis(axis) == Some(1));
            let reason = format!("axis {axis} may mix rows; axis 1 keeps them apart");
            return if keeps { Ok(self.flat()) } else { Err(refuse(node, reason)) };
        }
        // An axis may also stand behind the last.
        let rank = self.rank().unwrap_or(0);
        let at = if usize::try_from(axis) == Ok(rank) { Some(rank) } else { self.axis(axis) };
        let product = |axes: &[usize]| element_count(axes);
        let (Some(at), Some(row), Some(width)) = (at, self.known(), self.width()) else {
            return Err(refuse(node, format!("axis {axis} is outside of {self}")));
        };
        if leading == 0 {
            let (first, second) = row.split_at(at.min(row.len()));
            let axes = product(first).zip(product(second)).map(|(a, b)| vec![a, b]);
            return axes.map(|axes| self.with(axes)).ok_or_else(|| refuse(node, "it overflows"));
        }
        if at != leading {
            let reason = format!("axis {leading} keeps rows apart; {axis} does not");
            return Err(refuse(node, reason));
        }
        Ok(Row { lead: vec![self.batch()], axes: Axes::Known(vec![width]) })
    }

    /// The row after a `Reshape`, which must keep rows apart.
    pub(super) fn reshaped(&self, node: &NodeProto, target: &[Size]) -> Result<Row, ModelError> {
        let row = if self.lead.is_empty() {
            self.resolve(target, 0).map(|axes| self.with(axes))
        } else {
            // The batch keeps its number of axes, or whatever leaves one row behind them.
            let mut splits = std::iter::once(self.lead.len()).chain(1..target.len());
            splits.find_map(|leading| self.split(target, leading))
        };
        row.ok_or_else(|| {
            let reason = format!("rows of {self} may be mixed by {}", Target(target));
            refuse(node, reason + "; keep the batch axis first")
        })
    }

    /// The row where the first axes of a `Reshape`, so many, are the batch's.
    fn split(&self, target: &[Size], leading: usize) -> Option<Row> {
        let (lead, row) = target.split_at_checked(leading).filter(|(_, row)| !row.is_empty())?;
        let size = |(index, size): (usize, &Size)| match size {
            Size::Copied => self.lead.get(index).copied().flatten(),
            Size::Inferred => None,
            Size::Fixed(size) => Some(*size),
        };
        let sizes: Vec<Option<usize>> = lead.iter().enumerate().map(size).collect();
        let is_copied = |(index, size): (usize, &Size)| match size {
            Size::Copied => index < self.lead.len(),
            Size::Inferred => false,
            Size::Fixed(size) => self.lead.get(index) == Some(&Some(*size)),
        };
        let copies_all = leading == self.lead.len() && lead.iter().enumerate().all(is_copied);
        let product = sizes.iter().try_fold(1_usize, |product, n| product.checked_mul((*n)?));
        let keeps_all = copies_all || (product.is_some() && product == self.batch());
        // The batch stays what it is, too, where the other axes hold exactly one row.
        let is_left = lead.contains(&Size::Inferred)
            && lead
                .iter()
                .enumerate()
                .all(|(at, size)| *size != Size::Copied || at < self.lead.len())
            && !row.contains(&Size::Inferred)
            && self.known().is_some();
        if !keeps_all && !is_left {
            return None;
        }
        if self.known().is_some() {
            let axes = self.resolve(row, leading)?;
            return Some(Row { lead: sizes, axes: Axes::Known(axes) });
        }
        let fixed = row.iter().map(|size| match size {
            Size::Fixed(size) => Some(*size),
            Size::Copied | Size::Inferred => None,
        });
        match row {
            [Size::Inferred] => Some(Row { lead: sizes, axes: Axes::Flat }),
            _ => Some(Row { lead: sizes, axes: Axes::Known(fixed.collect::<Option<_>>()?) }),
        }
    }

    /// The sizes that a `Reshape` asks for from axis `first` on, which hold exactly one row.
    fn resolve(&self, target: &[Size], first: usize) -> Option<Vec<usize>> {
        let (width, known) = (self.width()?, self.known()?);
        let copied = |at: usize| known.get((first + at).checked_sub(self.lead.len())?).copied();
        let mut axes = Vec::with_capacity(target.len());
        let mut inferred = None;
        for (at, size) in target.iter().enumerate() {
            axes.push(match size {
                Size::Fixed(size) => *size,
                Size::Copied => copied(at)?,
                Size::Inferred if inferred.is_none() => {
                    inferred = Some(at);
                    1
                }
                Size::Inferred => return None,
            });
        }
        let stated = element_count(&axes)?;
        match inferred {
            Some(at) if stated > 0 && width.is_multiple_of(stated) => axes[at] = width / stated,
            None if stated == width => {}
            _ => return None,
        }
        Some(axes)
    }

    fn flat(&self) -> Row {
        Row { lead: self.lead.clone(), axes: Axes::Flat }
    }

    /// The row after a `Transpose`, which may move axes of one value only; without a stated order
    /// it reverses all.
    pub(super) fn transposed(
        &self,
        node: &NodeProto,
        order: Option<&[i64]>,
    ) -> Result<Row, ModelError> {
        let known = self.known().ok_or_else(|| refuse(node, "the shape of a row is not stated"))?;
        let (leading, rank) = (self.lead.len(), self.lead.len() + known.len());
        let order: Vec<usize> = match order {
            Some(order) => order.iter().filter_map(|axis| usize::try_from(*axis).ok()).collect(),
            None => (0..rank).rev().collect(),
        };
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..rank) {
            return Err(refuse(node, format!("its order is none of the {rank} axes")));
        }
        let row = order.get(leading..).unwrap_or(&[]);
        let keeps_batch = order.iter().take(leading).copied().eq(0..leading);
        let moved = row.iter().filter(|axis| keeps_batch && known[**axis - leading] != 1);
        if !keeps_batch || !moved.is_sorted() {
            let reason = "axes of a row cannot be exchanged; flatten in the order of the weights";
            return Err(refuse(node, reason));
        }
        Ok(self.with(row.iter().map(|axis| known[*axis - leading]).collect()))
    }

    /// The row after `Squeeze` (axes leave) or `Unsqueeze` (axes of 1 enter).
    pub(super) fn with_axes(
        &self,
        node: &NodeProto,
        axes: &[i64],
        enter: bool,
    ) -> Result<Row, ModelError> {
        let row = self.known().ok_or_else(|| refuse(node, "the shape of a row is not stated"))?;
        // Each axis: whether it is the batch's, and its size.
        let lead = self.lead.iter().map(|size| (true, *size));
        let mut shape: Vec<_> = lead.chain(row.iter().map(|size| (false, Some(*size)))).collect();
        let rank = shape.len() + if enter { axes.len() } else { 0 };
        if rank > AXES_MAX {
            return Err(ModelError::too_large("axes of a value", AXES_MAX, rank));
        }
        let mut places = Vec::with_capacity(axes.len());
        for axis in axes {
            let place = if *axis < 0 { axis.saturating_add(rank as i64) } else { *axis };
            match usize::try_from(place) {
                Ok(place) if place < rank => places.push(place),
                _ => return Err(refuse(node, format!("axis {axis} is outside"))),
            }
        }
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(refuse(node, "an axis is named twice"));
        }
        if enter {
            places.iter().for_each(|place| shape.insert(*place, (false, Some(1))));
        } else {
            for place in places.iter().rev() {
                match shape.remove(*place) {
                    (_, Some(1)) => {}
                    (true, _) => return Err(refuse(node, format!("axis {place} is the batch"))),
                    (false, _) => {
                        return Err(refuse(
                            node,
                            format!("axis {place} holds more than one value"),
                        ));
                    }
                }
            }
        }
        // What enters before the batch's last axis is the batch's, too.
        let leading = shape.iter().rposition(|(is_batch, _)| *is_batch).map_or(0, |last| last + 1);
        let row = shape.split_off(leading);
        Ok(Row {
            lead: shape.into_iter().map(|(_, size)| size).collect(),
            axes: Axes::Known(row.into_iter().filter_map(|(_, size)| size).collect()),
        })
    }
}

/// The shape a `Reshape` asks for, as files state it.
struct Target<'a>(&'a [Size]);

impl std::fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |size: &Size| match size {
            Size::Copied => String::from("0"),
            Size::Inferred => String::from("-1"),
            Size::Fixed(size) => size.to_string(),
        };
        let numbers: Vec<String> = self.0.iter().map(number).collect();
        write!(f, "[{}]", numbers.join(", "))
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.axes {
            Axes::Known(row) => write!(f, "shape {row:?}"),
            Axes::Flat | Axes::Unknown => f.write_str("a shape that is not stated"),
        }
    }
}
