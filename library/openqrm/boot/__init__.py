"""The boot plane: manifests and boot entries, rendered as the files of a static tree."""
