"""The only HTML and drawing code: the page every report stands on, and its charts."""
