//! The `fusewire` command.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    leave_out_device_selection_without_display();
    fusewire::cli::main()
}

/// Mesa's Vulkan layer for choosing a card per desktop complains on standard error where there is
/// no desktop; its own variable leaves it out.
fn leave_out_device_selection_without_display() {
    if ["DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"].iter().all(|v| env::var_os(v).is_none()) {
        // SAFETY: the process has one thread yet, so nothing reads the environment meanwhile.
        unsafe { env::set_var("NODEVICE_SELECT", "1") };
    }
}
