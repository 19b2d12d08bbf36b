"""Writers of scalars: CSV, JSON lines, TensorBoard, MLflow, the progress bar."""
