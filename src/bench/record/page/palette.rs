//! Colours and marks.
//!
//! A drawing holds literal colours, those for light paper, and the page's style puts others in
//! their place by attribute rules; so each colour stands for one thing and no other.

use plotters::style::RGBColor;

/// What a colour is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// Names and numbers.
    Text,
    /// What curves stand beside, dashed.
    Reference,
    /// The line that bars and ratios start from.
    Base,
    /// Lines at named values.
    Grid,
    /// Lines between them.
    Fine,
    /// The series of this index.
    Series(usize),
}

/// Series told apart by colour alone.
pub(super) const SERIES: usize = 8;

/// Dark enough for white paper, light and dark in turn, and apart for eyes that see no red or no
/// green; after Okabe and Ito's.
const COLOURS: [RGBColor; SERIES] = [
    RGBColor(0x0b, 0x66, 0xb2),
    RGBColor(0xc8, 0x50, 0x0a),
    RGBColor(0x0a, 0x80, 0x60),
    RGBColor(0xa6, 0x3d, 0x88),
    RGBColor(0x8f, 0x6a, 0x00),
    RGBColor(0x2f, 0x8f, 0xbd),
    RGBColor(0x8c, 0x1d, 0x2b),
    RGBColor(0x5b, 0x7a, 0x1e),
];

impl Ink {
    pub(super) fn colour(self) -> RGBColor {
        match self {
            Ink::Text => RGBColor(0x1b, 0x1f, 0x24),
            Ink::Reference => RGBColor(0x1b, 0x1f, 0x25),
            Ink::Base => RGBColor(0x6b, 0x72, 0x7c),
            Ink::Grid => RGBColor(0xd5, 0xd9, 0xdf),
            Ink::Fine => RGBColor(0xec, 0xee, 0xf1),
            Ink::Series(index) => COLOURS[index % SERIES],
        }
    }

    /// The colour as markup holds it.
    pub(super) fn hex(self) -> String {
        let RGBColor(red, green, blue) = self.colour();
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}

/// The shape of a point. There are five, and eight colours, so that a pair of both comes again only
/// after forty series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Disc,
    Square,
    Triangle,
    Diamond,
    Wedge,
}

impl Mark {
    pub(super) fn of(series: usize) -> Mark {
        const ALL: [Mark; 5] =
            [Mark::Disc, Mark::Square, Mark::Triangle, Mark::Diamond, Mark::Wedge];
        ALL[series % ALL.len()]
    }

    /// The corners, in units of a disc's radius, downwards positive; none of a disc.
    pub(super) fn corners(self) -> &'static [(f64, f64)] {
        match self {
            Mark::Disc => &[],
            Mark::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Mark::Triangle => &[(0.0, -1.25), (1.15, 0.85), (-1.15, 0.85)],
            Mark::Diamond => &[(0.0, -1.35), (1.35, 0.0), (0.0, 1.35), (-1.35, 0.0)],
            Mark::Wedge => &[(0.0, 1.25), (1.15, -0.85), (-1.15, -0.85)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_is_one_things_and_has_its_rules() {
        let plain = [Ink::Text, Ink::Reference, Ink::Base, Ink::Grid, Ink::Fine];
        let inks = plain.into_iter().chain((0..SERIES).map(Ink::Series));
        let mut colours: Vec<String> = inks.map(Ink::hex).collect();
        let style = include_str!("page.css");
        for colour in &colours {
            for attribute in ["fill", "stroke"] {
                let rule = format!("svg [{attribute}=\"{colour}\"]");
                assert_eq!(style.matches(&rule).count(), 1, "{rule}");
            }
        }
        colours.sort();
        colours.dedup();
        assert_eq!(colours.len(), plain.len() + SERIES);
    }

    #[test]
    fn forty_series_look_like_forty() {
        let looks: Vec<_> = (0..40).map(|index| (index % SERIES, Mark::of(index))).collect();
        let is_new = |at: usize| !looks[..at].contains(&looks[at]);
        assert!((0..40).all(is_new));
    }
}
