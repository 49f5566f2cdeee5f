"""Sources that sort images by cell type and name no patient."""
