//! TorchScript archives.

use super::cases::check;

#[test]
fn torch_script() {
    check("torch_script.zip", 172);
}
