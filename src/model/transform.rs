//! The affine transform between a row's values and the first layer.

use super::ModelError;

/// One number for every input, or one per input.
#[derive(Clone, Debug, PartialEq)]
pub enum PerInput {
    /// The same number for every input.
    Uniform(f32),
    /// One number per input, `[inputs]`.
    Each(Vec<f32>),
}

impl PerInput {
    /// The number of input `index`.
    pub fn at(&self, index: usize) -> f32 {
        match self {
            PerInput::Uniform(number) => *number,
            PerInput::Each(numbers) => numbers[index],
        }
    }

    /// The same numbers, as one where all inputs share it.
    fn simplified(self) -> PerInput {
        match &self {
            PerInput::Each(numbers) => match numbers.split_first() {
                Some((first, rest)) if rest.iter().all(|number| number == first) => {
                    PerInput::Uniform(*first)
                }
                _ => self,
            },
            PerInput::Uniform(_) => self,
        }
    }

    fn check(&self, what: &str, inputs: usize) -> Result<(), ModelError> {
        let numbers = match self {
            PerInput::Uniform(number) => std::slice::from_ref(number),
            PerInput::Each(numbers) if numbers.len() == inputs => numbers,
            PerInput::Each(numbers) => {
                return Err(ModelError::invalid(what, inputs, numbers.len()));
            }
        };
        match numbers.iter().find(|number| !number.is_finite()) {
            Some(number) => Err(ModelError::invalid(what, "finite numbers", number)),
            None => Ok(()),
        }
    }
}

/// The first layer sees `x * scale + offset` of a row's value `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct InputTransform {
    /// What a value is multiplied by.
    pub scale: PerInput,
    /// What is then added.
    pub offset: PerInput,
}

impl Default for InputTransform {
    fn default() -> InputTransform {
        InputTransform { scale: PerInput::Uniform(1.0), offset: PerInput::Uniform(0.0) }
    }
}

impl InputTransform {
    /// Whether the transform leaves every value as it is.
    pub fn is_identity(&self) -> bool {
        *self == InputTransform::default()
    }

    /// The same transform, told in as few numbers as it can be.
    pub(super) fn simplified(self) -> InputTransform {
        InputTransform { scale: self.scale.simplified(), offset: self.offset.simplified() }
    }

    pub(super) fn check(&self, inputs: usize) -> Result<(), ModelError> {
        self.scale.check("input transform scales", inputs)?;
        self.offset.check("input transform offsets", inputs)
    }
}
