output "store_url" {
  description = "IMGCTL_STORE_URL."
  value       = "s3://${aws_s3_bucket.photos.id}${var.prefix == "" ? "" : "/${trimsuffix(var.prefix, "/")}"}"
}

output "policy_arns" {
  description = "Attach the first to uploads, workers and audits; attach the second, too, to roles that archive and restore originals."
  value       = [aws_iam_policy.imgctl.arn, aws_iam_policy.cold.arn]
}
