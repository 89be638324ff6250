"""What every scenario needs: a stage of real servers, rounds, clocks, and reports."""
