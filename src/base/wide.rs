//! Products too wide for a register, divided exactly: what money needs so that no intermediate result is
//! ever rounded or refused.
//!
//! Only `base::money` uses it. It must not know signs, scales or currencies.

/// `left * right / divisor` as quotient and remainder, with the product held in 256 bits.
///
/// Nothing if the divisor is zero or the quotient does not fit.
pub(super) fn multiply_and_divide(left: u128, right: u128, divisor: u128) -> Option<(u128, u128)> {
    let (low, high) = left.carrying_mul(right, 0);
    if high == 0 {
        return Some((low.checked_div(divisor)?, low % divisor));
    }
    if high >= divisor {
        return None;
    }
    // Long division, bit by bit: the remainder stays below the divisor, so that one subtraction is enough.
    let (mut quotient, mut remainder) = (0u128, high);
    for place in (0..128).rev() {
        let carried = remainder >> 127 == 1;
        remainder = remainder << 1 | low >> place & 1;
        quotient <<= 1;
        if carried || remainder >= divisor {
            remainder = remainder.wrapping_sub(divisor);
            quotient |= 1;
        }
    }
    Some((quotient, remainder))
}

#[cfg(test)]
mod tests {
    use super::multiply_and_divide;

    #[test]
    fn quotient_and_remainder_make_the_product_again() {
        let check = |left: u128, right: u128, divisor: u128, expected| {
            assert_eq!(
                multiply_and_divide(left, right, divisor),
                expected,
                "{left} * {right} / {divisor}"
            );
        };
        check(7, 5, 4, Some((8, 3)));
        check(0, u128::MAX, 9, Some((0, 0)));
        check(1, 1, 0, None);
        check(u128::MAX, u128::MAX, 0, None);
        check(u128::MAX, u128::MAX, u128::MAX, Some((u128::MAX, 0)));
        check(u128::MAX, u128::MAX - 1, u128::MAX, Some((u128::MAX - 1, 0)));
        check(u128::MAX - 1, u128::MAX - 1, u128::MAX, Some((u128::MAX - 2, 1)));
        check(u128::MAX, 2, 1, None);
        check(1 << 100, 1 << 100, 1 << 90, Some((1 << 110, 0)));
        check(
            10u128.pow(30),
            10u128.pow(30) + 1,
            10u128.pow(28),
            Some((10u128.pow(32) + 100, 0)),
        );
    }
}
