# Data Drift Detection
import numpy as np
from scipy import stats
def detect_data_drift(reference_data, current_data):
# Calculate distribution difference
ks_statistic, p_value = stats.ks_2samp(reference_data, current_data)
# Alert if significant drift detected
if p_value < 0.05:
send_alert(f"Data drift detected: p-value={p_value}")
return p_value
