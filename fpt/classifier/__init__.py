"""A classifier that is fitted once and asked often: scikit-learn's interface, and a folder to keep it in."""
