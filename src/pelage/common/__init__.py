"""What every room shares: errors, params, tables, images, files, memo, progress, seeds."""
