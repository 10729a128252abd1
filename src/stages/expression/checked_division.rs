//! Float division and remainder that fail on zero, as those of integers do, or give null: `least(v / 0, 1)` is no 1.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Datum};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};

/// What a division of floats by zero does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ZeroDivisor {
    /// The row fails.
    Fails,
    /// The quotient is null.
    GivesNull,
}

/// Replaces float division by anything but a literal other than zero. The types must be coerced already.
///
/// # Errors
/// What DataFusion says where the types of an expression cannot be told.
pub(super) fn check_divisions(expr: Expr, schema: &DFSchema, zero: ZeroDivisor) -> Result<Expr> {
    let replace = |node: Expr| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &node else { return Ok(Transformed::no(node)) };
        let remainder = match op {
            Operator::Divide => false,
            Operator::Modulo => true,
            _ => return Ok(Transformed::no(node)),
        };
        let floats = left.get_type(schema)? == DataType::Float64 && right.get_type(schema)? == DataType::Float64;
        if !floats || nonzero_literal(right) {
            return Ok(Transformed::no(node));
        }
        if zero == ZeroDivisor::GivesNull {
            let divisor = Box::new(nullif((**right).clone(), lit(0.0)));
            return Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: left.clone(), op: *op, right: divisor })));
        }
        let division = ScalarUDF::from(CheckedDivision::new(remainder));
        Ok(Transformed::yes(division.call(vec![(**left).clone(), (**right).clone()])))
    };
    Ok(expr.transform_up(replace)?.data)
}

fn nonzero_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Float64(Some(value)), _) if *value != 0.0)
}

/// `a / b` or `a % b` of doubles; an error where `b` is zero.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedDivision {
    remainder: bool,
    signature: Signature,
}

impl CheckedDivision {
    fn new(remainder: bool) -> Self {
        let signature = Signature::exact(vec![DataType::Float64, DataType::Float64], Volatility::Immutable);
        Self { remainder, signature }
    }
}

impl ScalarUDFImpl for CheckedDivision {
    fn name(&self) -> &str {
        if self.remainder { "checked_remainder" } else { "checked_division" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return exec_err!("{} takes two arguments, got {}", self.name(), args.args.len());
        };
        let scalars = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let (left, right) = (datum(left)?, datum(right)?);
        refuse_zero(left.get().0, right.get().0)?;
        let kernel = if self.remainder { numeric::rem } else { numeric::div };
        let values = kernel(left.as_ref(), right.as_ref())?;
        if scalars {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?));
        }
        Ok(ColumnarValue::Array(values))
    }
}

fn datum(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
    })
}

/// A zero under a null numerator divides nothing, like that of integers.
fn refuse_zero(left: &dyn Array, right: &dyn Array) -> Result<()> {
    let divisors = right.as_primitive::<Float64Type>();
    // The quick look first: zeros are rare, and a null's value may be anything.
    if !divisors.values().contains(&0.0) {
        return Ok(());
    }
    for (row, divisor) in divisors.iter().enumerate() {
        let numerator_null = if left.len() == 1 { left.is_null(0) } else { left.is_null(row) };
        let no_numerator = if right.len() == 1 { left.null_count() == left.len() } else { numerator_null };
        if divisor == Some(0.0) && !no_numerator {
            return Err(ArrowError::DivideByZero.into());
        }
    }
    Ok(())
}
