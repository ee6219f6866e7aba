//! What tests of documents know of Markdown.

/// What a link to a title says behind its `#`, as GitHub makes it.
pub fn anchor(title: &str) -> String {
    let kept = title.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}
