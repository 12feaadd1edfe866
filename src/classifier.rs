//! The facade: from a file to answers in one type.

use std::path::Path;
use std::sync::Arc;

use crate::backend::{
    self, BackendError, DeviceInfo, Executable, Gathered, OpenOptions, Opening, Rows, arg_max,
};
use crate::model::Model;
use crate::plan::{InputType, Plan, PlanOptions, Precision};
use crate::{BackendKind, Error};

/// What the caller chooses about a classifier.
#[derive(Clone, Debug, Default)]
pub struct ClassifierOptions {
    /// Which device to open.
    pub device: OpenOptions,
    /// Input type, precision and largest batch.
    pub plan: PlanOptions,
}

impl ClassifierOptions {
    /// The same options on another backend.
    pub fn backend(mut self, backend: BackendKind) -> ClassifierOptions {
        self.device.backend = backend;
        self
    }

    /// The same options for rows of another type.
    pub fn input(mut self, input: InputType) -> ClassifierOptions {
        self.plan.input = input;
        self
    }

    /// The same options at another precision.
    pub fn precision(mut self, precision: Precision) -> ClassifierOptions {
        self.plan.precision = precision;
        self
    }
}

/// A model loaded on a device, answering on the caller's thread; share it by reference or `Arc`.
#[derive(Debug)]
pub struct Classifier {
    model: Model,
    device: DeviceInfo,
    passed_over: Vec<BackendError>,
    executable: Arc<dyn Executable>,
}

impl Classifier {
    /// Loads a model file on the best device there is, for rows of f32.
    ///
    /// # Errors
    /// [`Error::Model`] where the file is no dense classifier; [`Error::Plan`] and
    /// [`Error::Backend`] where the device cannot take it.
    pub fn open(path: impl AsRef<Path>) -> Result<Classifier, Error> {
        Classifier::new(Model::load(path)?, &ClassifierOptions::default())
    }

    /// Loads a model as the options say.
    ///
    /// # Errors
    /// [`Error::Plan`] and [`Error::Backend`] where the device is missing or cannot take it.
    pub fn new(model: Model, options: &ClassifierOptions) -> Result<Classifier, Error> {
        let wanted = options.device.for_precision(options.plan.precision);
        let Opening { device, passed_over } = backend::open_noting(&wanted)?;
        let plan = Plan::new(&model, device.limits(), &options.plan)?;
        let executable = device.load(plan)?;
        Ok(Classifier { model, device: device.info().clone(), passed_over, executable })
    }

    /// The class of one row, by its index; see [`arg_max`] for ties and NaN.
    ///
    /// # Errors
    /// [`Error::Backend`] where the row is of another type or width than planned, or the device
    /// failed.
    pub fn classify<'a>(&self, row: impl Into<Rows<'a>>) -> Result<usize, Error> {
        let row = row.into();
        if row.count(self.executable.plan())? != 1 {
            let (inputs, values) = (self.model.inputs(), row.values());
            return Err(BackendError::WrongRow { row: 0, inputs, values }.into());
        }
        let mut scores = vec![0.0; self.model.classes()];
        self.scores_into(row, &mut scores)?;
        Ok(arg_max(&scores))
    }

    /// The class of each of many rows, `[n, inputs]` row-major; of none where there are none. What
    /// shape they had is not known: see [`Classifier::classify_rows`].
    ///
    /// # Errors
    /// As [`Classifier::classify`].
    pub fn classify_many<'a>(&self, rows: impl Into<Rows<'a>>) -> Result<Vec<usize>, Error> {
        Ok(self.scores(rows)?.chunks_exact(self.model.classes()).map(arg_max).collect())
    }

    /// The class of each of many rows that are given one by one, such as `&Vec<Vec<f32>>` or
    /// `&[[f32; 784]]`; of none where there are none. Each is checked for its width, and copied.
    ///
    /// # Errors
    /// As [`Classifier::classify`].
    pub fn classify_rows<'a, I>(&self, rows: I) -> Result<Vec<usize>, Error>
    where
        I: IntoIterator,
        I::Item: Into<Rows<'a>>,
    {
        let gathered = Gathered::of(self.executable.plan(), rows.into_iter().map(Into::into))?;
        self.classify_many(gathered.rows())
    }

    /// The scores of many rows, `[n, inputs]` row-major, as `[n, classes]` row-major.
    ///
    /// # Errors
    /// As [`Classifier::classify`].
    pub fn scores<'a>(&self, rows: impl Into<Rows<'a>>) -> Result<Vec<f32>, Error> {
        let rows = rows.into();
        let count = rows.count(self.executable.plan())?;
        let mut scores = vec![0.0; count * self.model.classes()];
        self.scores_into(rows, &mut scores)?;
        Ok(scores)
    }

    /// Writes the scores of many rows, `[n, inputs]` row-major, to `scores`, `[n, classes]`; on the
    /// CPU backend nothing is allocated.
    ///
    /// # Errors
    /// As [`Classifier::classify`]; also where `scores` has another length.
    pub fn scores_into<'a>(
        &self,
        rows: impl Into<Rows<'a>>,
        scores: &mut [f32],
    ) -> Result<(), Error> {
        Ok(self.executable.run(rows.into(), scores)?)
    }

    /// The label of a class, where the model has labels and the class exists.
    pub fn label(&self, class: usize) -> Option<&str> {
        self.model.labels()?.get(class).map(String::as_str)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The plan that runs.
    pub fn plan(&self) -> &Plan {
        self.executable.plan()
    }

    /// The device it runs on.
    pub fn device(&self) -> &DeviceInfo {
        &self.device
    }

    /// Where [`BackendKind::Auto`] chose the device: the families that it tried before, and why
    /// none of their devices could be opened.
    pub fn passed_over(&self) -> &[BackendError] {
        &self.passed_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Dense};

    fn classifier() -> Classifier {
        let weight = vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let layer = Dense::new(3, 3, weight, None, Activation::Identity).unwrap();
        let model = Model::from_layers(vec![layer]).unwrap();
        Classifier::new(model, &ClassifierOptions::default().backend(BackendKind::Cpu)).unwrap()
    }

    #[test]
    fn rows_given_one_by_one_are_checked_one_by_one() {
        let classifier = classifier();
        let rows = [[0.0_f32, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];
        assert_eq!(classifier.classify_rows(&rows).unwrap(), [1, 2, 0]);
        let vectors: Vec<Vec<f32>> = rows.iter().map(|row| row.to_vec()).collect();
        assert_eq!(classifier.classify_rows(&vectors).unwrap(), [1, 2, 0]);
        assert_eq!(classifier.classify_many(rows.as_flattened()).unwrap(), [1, 2, 0]);
        let ragged = [vec![1.0_f32; 3], vec![1.0; 2], vec![1.0; 4]];
        let error = classifier.classify_rows(&ragged).unwrap_err().to_string();
        assert_eq!(error, "row 1: expected 3 values, got 2");
        let error = classifier.classify_many(&[1.0_f32; 7]).unwrap_err().to_string();
        assert_eq!(error, "rows: expected a multiple of 3 values, got 7: 2 rows and 1 value");
        let error = classifier.classify(&[1.0_f32; 6]).unwrap_err().to_string();
        assert_eq!(error, "row 0: expected 3 values, got 6");
    }

    #[test]
    fn no_rows_have_no_classes() {
        let (classifier, none) = (classifier(), [0.0_f32; 0]);
        let no_rows: [[f32; 3]; 0] = [];
        assert!(classifier.classify_rows(&no_rows).unwrap().is_empty());
        assert!(classifier.classify_many(&none).unwrap().is_empty());
        assert!(classifier.scores(&none).unwrap().is_empty());
        let error = classifier.classify(&none).unwrap_err().to_string();
        assert_eq!(error, "row 0: expected 3 values, got 0");
    }
}
