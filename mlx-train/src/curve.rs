// SPDX-License-Identifier: EUPL-1.2
//! The losses of a run as a picture.

use plotters::prelude::*;

use crate::log::Line;

/// An SVG of the losses by step: those of training as a line, those of validations as a line with dots.
///
/// Nothing where there is no loss to show, or the picture cannot be drawn.
#[must_use]
pub fn loss_curve(lines: &[Line]) -> Option<String> {
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let train: Vec<(f64, f64)> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Train { step, loss, .. } => Some((*step as f64, *loss)),
            Line::Valid { .. } => None,
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let valid: Vec<(f64, f64)> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Valid { step, loss } => Some((*step as f64, f64::from(*loss))),
            Line::Train { .. } => None,
        })
        .collect();
    let all = || train.iter().chain(&valid).filter(|(_, loss)| loss.is_finite());
    let last = all().map(|(step, _)| *step).fold(f64::NAN, f64::max);
    let most = all().map(|(_, loss)| *loss).fold(f64::NAN, f64::max);
    if last.is_nan() || most.is_nan() {
        return None;
    }
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (800, 480)).into_drawing_area();
        draw(&area, &train, &valid, [last.max(1.0), (most * 1.05).max(1e-6)]).ok()?;
    }
    Some(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw(area: &Area<'_>, train: &[(f64, f64)], valid: &[(f64, f64)], [last, most]: [f64; 2]) -> Drawn {
    let (blue, orange) = (RGBColor(31, 119, 180), RGBColor(255, 127, 14));
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..last, 0.0..most)?;
    chart
        .configure_mesh()
        .light_line_style(RGBColor(240, 240, 240))
        .x_desc("step")
        .y_desc("loss")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .draw()?;
    chart
        .draw_series(LineSeries::new(train.iter().copied(), blue.stroke_width(2)))?
        .label("training")
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], blue.stroke_width(2)));
    if !valid.is_empty() {
        chart
            .draw_series(LineSeries::new(valid.iter().copied(), orange.stroke_width(2)).point_size(3))?
            .label("validation")
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], orange.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(RGBColor(200, 200, 200)).draw()?;
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(step: u64, loss: f64) -> Line {
        Line::Train { step, epoch: 0.0, loss, rate: 0.0, norm: 0.0, tokens_per_second: 0.0, seconds: 0.0 }
    }

    #[test]
    fn a_curve_has_both_losses_and_no_nan() {
        let lines = [train(10, 3.0), Line::Valid { step: 10, loss: 2.5 }, train(20, 1.5)];
        let svg = loss_curve(&lines).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("training") && svg.contains("validation") && !svg.contains("NaN"));
    }

    #[test]
    fn nothing_to_show_is_no_picture() {
        assert_eq!(loss_curve(&[]), None);
        assert_eq!(loss_curve(&[train(1, f64::NAN)]), None);
    }
}
