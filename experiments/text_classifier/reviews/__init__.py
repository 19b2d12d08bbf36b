"""A transformer that knows some language, fine-tuned to tell praise from blame."""
