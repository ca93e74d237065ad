"""What every room uses: errors, and files that are written whole or not at all."""
