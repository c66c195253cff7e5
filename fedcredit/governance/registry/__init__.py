"""The registry of models: what is published, who has approved it, which version counts. Pure: values in, values out."""
