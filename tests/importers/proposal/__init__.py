"""The proposal of a mapping: values, layout, fields, YAML."""
